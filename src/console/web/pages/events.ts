import type { EventView } from '../../shapes.ts'
import { countText, timeText } from '../format.ts'
import { h, type View } from '../preact.ts'
import { linkTo } from '../route.ts'
import type { State } from '../state.ts'
import { choice, form } from './parts.ts'

const HOURS = [
  ['1', 'the last hour'],
  ['6', 'the last 6 hours'],
  ['24', 'the last day']
] as const

/** What happened, the last first, with a heading for each hour. */
export function eventsPage({ route, events }: State): View[] {
  const [hours, name] = [route.query.get('hours') ?? '1', route.query.get('name') ?? '']
  const all = events?.events ?? []
  const names = [...new Set([...all.map(one => one.name), ...(name === '' ? [] : [name])])].sort()
  const shown = name === '' ? all : all.filter(one => one.name === name)
  const filter = form(
    'Choose events',
    fields => {
      location.hash = linkTo('events', '', { hours: fields['hours'] ?? '1', name: fields['name'] ?? '' })
    },
    [
      choice('Time', 'hours', hours, HOURS),
      choice('Event', 'name', name, [['', 'all'], ...names.map(one => [one, one] as const)]),
      h('button', { type: 'submit' }, 'Show')
    ]
  )
  if (shown.length === 0) return [filter, h('p', { class: 'none' }, 'Nothing that is remembered happened.')]
  const parts = [...Map.groupBy(shown, ({ atMs }) => timeText(atMs).slice(0, 13))].map(([hour, some]) =>
    h(
      'section',
      { 'aria-label': `${hour}:00` },
      h('h2', {}, `${hour}:00 UTC`),
      h('ol', { class: 'timeline' }, some.map(item))
    )
  )
  const left = events?.leftOut ?? 0
  return [
    filter,
    ...parts,
    ...(left > 0 ? [h('p', { class: 'none' }, `${countText(left, 'older event')} left out.`)] : [])
  ]
}

function item({ name, atMs, fields }: EventView): View {
  const text = timeText(atMs)
  return h(
    'li',
    { class: name },
    h('time', { dateTime: `${text.replace(' ', 'T')}Z` }, text.slice(11)),
    h('strong', {}, name),
    h(
      'span',
      { class: 'fields' },
      fields.map(([key, value]) => h('span', {}, h('i', {}, key), ` ${value} `))
    )
  )
}
