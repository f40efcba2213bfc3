import type { EventView } from '../../shapes.ts'
import { timeText } from '../format.ts'
import { h, type View } from '../preact.ts'
import { linkTo } from '../route.ts'
import type { State } from '../state.ts'
import { askedNote, choice, form, leftOutNote } from './parts.ts'

const HOURS = [
  ['1', 'the last hour'],
  ['6', 'the last 6 hours'],
  ['24', 'the last day']
] as const

/** The console itself asks them: they are shown only if they are chosen. */
const QUESTIONS = 'question-asked'

/** What happened, the last first, with a heading for each hour. */
export function eventsPage({ route, events }: State, nowMs: number): Array<View | null> {
  const [hours, name] = [route.query.get('hours') ?? '1', route.query.get('name') ?? '']
  const shown = events?.events ?? []
  const names = [...new Set([...shown.map(one => one.name), ...(name === '' ? [] : [name]), QUESTIONS])].sort()
  const filter = form(
    'Choose events',
    fields => {
      location.hash = linkTo('events', '', { hours: fields['hours'] ?? '1', name: fields['name'] ?? '' })
    },
    [
      choice('Time', 'hours', hours, HOURS),
      choice('Event', 'name', name, [['', 'all but questions'], ...names.map(one => [one, one] as const)]),
      h('button', { type: 'submit' }, 'Show')
    ]
  )
  const note = askedNote(events?.asked, nowMs)
  if (shown.length === 0) return [filter, note, h('p', { class: 'none' }, 'Nothing that is remembered happened.')]
  const parts = [...Map.groupBy(shown, ({ atMs }) => timeText(atMs).slice(0, 13))].map(([hour, some]) =>
    h(
      'section',
      { 'aria-label': `${hour}:00` },
      h('h2', {}, `${hour}:00 UTC`),
      h('ol', { class: 'timeline' }, some.map(item))
    )
  )
  return [filter, note, ...parts, leftOutNote(events?.leftOut ?? 0, 'older event')]
}

function item({ machine, name, atMs, fields }: EventView): View {
  const text = timeText(atMs)
  return h(
    'li',
    { class: name },
    h('time', { dateTime: `${text.replace(' ', 'T')}Z` }, text.slice(11)),
    h('span', { class: 'host' }, machine),
    h('strong', {}, name),
    h(
      'span',
      { class: 'fields' },
      fields.map(([key, value]) => h('span', {}, h('i', {}, key), ` ${value} `))
    )
  )
}
