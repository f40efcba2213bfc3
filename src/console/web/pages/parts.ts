import type { AskedView, FlowView, WorkloadView } from '../../shapes.ts'
import { bytesText, countText, distanceText, rateText, spanText } from '../format.ts'
import { type ComponentChild, type ComponentChildren, h, type View } from '../preact.ts'
import { linkTo } from '../route.ts'
import type { State } from '../state.ts'

/** A column of a table. The first one names its row. */
export interface Column<T> {
  readonly title: string
  readonly value: (row: T) => ComponentChild
  readonly isNumber?: boolean
}

/** Hosts without an answer that are named without a click. */
const MAX_OPEN = 5
/** Rows of a table that are shown at once. */
const MAX_ROWS = 200

/** A table with a caption; below it, how many rows are left out. */
export function table<T>(caption: string, columns: readonly Column<T>[], rows: readonly T[], none: string): View {
  if (rows.length === 0) return h('p', { class: 'none' }, none)
  const head = columns.map(({ title, isNumber }) => h('th', { scope: 'col', class: isNumber ? 'number' : '' }, title))
  const body = rows.slice(0, MAX_ROWS).map(row =>
    h(
      'tr',
      {},
      columns.map(({ value, isNumber }, at) =>
        at === 0 ? h('th', { scope: 'row' }, value(row)) : h('td', { class: isNumber ? 'number' : '' }, value(row))
      )
    )
  )
  const left = rows.length - MAX_ROWS
  return h(
    'div',
    { class: 'wide' },
    h('table', {}, h('caption', {}, caption), h('thead', {}, h('tr', {}, head)), h('tbody', {}, body)),
    left > 0 ? h('p', { class: 'none' }, `${countText(left, 'more row')}: search to find them.`) : null
  )
}

/** Names with their values. */
export function facts(pairs: ReadonlyArray<readonly [name: string, value: ComponentChild]>): View {
  const parts = pairs.flatMap(([name, value]) => [h('dt', {}, name), h('dd', {}, value === '' ? '–' : value)])
  return h('dl', { class: 'facts' }, parts)
}

export function hostLink(machine: string): View {
  return h('a', { href: linkTo('host', machine) }, machine)
}

export function workloadLink(address: string): View | string {
  if (address === '') return '–'
  return h('a', { href: linkTo('workload', address) }, address)
}

/** A word with a colour, and a shape for those who do not see it. */
export function badge(word: string): View {
  return h('span', { class: `badge ${word}` }, word)
}

export function workloadTable(caption: string, workloads: readonly WorkloadView[], nowMs: number): View {
  return table<WorkloadView>(
    caption,
    [
      { title: 'Address', value: one => workloadLink(one.address) },
      { title: 'Health', value: one => badge(one.suspect ? 'suspect' : one.health) },
      { title: 'Serves', value: one => one.protocols.join(', ') || 'client' },
      { title: 'Labels', value: one => one.labels.join(' ') },
      { title: 'Registered', value: one => distanceText(one.registeredAtMs, nowMs) },
      { title: 'Problem', value: one => one.problem }
    ],
    workloads,
    'No workload is registered.'
  )
}

export function flowTable(caption: string, state: State, isShown: (flow: FlowView) => boolean, nowMs: number): View {
  const { flows, rates } = state
  if (flows === undefined) return h('p', { class: 'none' }, 'The flows are not known.')
  const rows = flows.flows.filter(isShown).sort((a, b) => (rates.get(b.id) ?? 0) - (rates.get(a.id) ?? 0))
  return table<FlowView>(
    caption,
    [
      { title: 'Source', value: flow => workloadLink(flow.source) },
      { title: 'Destination', value: flow => workloadLink(flow.destination) },
      { title: 'Protocol', value: flow => flow.protocol },
      { title: 'Carrier', value: flow => flow.carrier },
      { title: 'Rate', value: flow => rateText(rates.get(flow.id)), isNumber: true },
      { title: 'Bytes', value: flow => bytesText(flow.bytesIn + flow.bytesOut), isNumber: true },
      { title: 'Rule', value: flow => flow.rule },
      { title: 'Opened', value: flow => distanceText(flow.openedAtMs, nowMs) },
      { title: 'Hosts', value: flow => flow.hosts.join(', ') },
      { title: 'Problem', value: flow => flow.problem }
    ],
    rows,
    'No such flow is carried now.'
  )
}

/** Which hosts a list is of, and which are missing in it, and why. */
export function askedNote(asked: AskedView | undefined, nowMs: number): View | null {
  if (asked === undefined) return null
  const { askedAtMs, hosts, isOver, missing, moreMissing, problem, everyMs } = asked
  if (problem !== '')
    return h('p', { class: 'none' }, `Only this host is shown. All hosts cannot be asked: ${problem}.`)
  if (!isOver) return h('p', { class: 'none' }, `${countText(hosts, 'host')} of the mesh answered so far …`)
  const count = missing.length + moreMissing
  const when = `asked ${distanceText(askedAtMs, nowMs)}, at most every ${spanText(everyMs)}`
  if (count === 0) return h('p', { class: 'none' }, `From ${countText(hosts, 'host')}, ${when}.`)
  const items = missing.map(({ machine, why }) => h('li', {}, hostLink(machine), `: ${why}`))
  return h(
    'details',
    { class: 'missing', open: count <= MAX_OPEN },
    h('summary', {}, `Without ${count} of ${countText(hosts, 'host')}, ${when}`),
    h('ul', {}, items, moreMissing > 0 ? h('li', {}, `and ${countText(moreMissing, 'more host')}`) : null)
  )
}

/** How many are not in a list; nothing if all are. */
export function leftOutNote(count: number, what: string): View | null {
  return count > 0 ? h('p', { class: 'none' }, `${countText(count, what)} left out.`) : null
}

/** A form that calls `onSubmit` with its fields. */
export function form(
  label: string,
  onSubmit: (fields: Record<string, string>) => void,
  children: ComponentChildren
): View {
  const submit = (event: Event): void => {
    event.preventDefault()
    const fields = new FormData(event.currentTarget as HTMLFormElement)
    onSubmit(Object.fromEntries([...fields].map(([name, value]) => [name, String(value).trim()])))
  }
  return h('form', { 'aria-label': label, onSubmit: submit }, children)
}

/** A field with its label. `key` makes another field of it, with the new value. */
export function field(
  label: string,
  name: string,
  value: string,
  attributes: Readonly<Record<string, unknown>> = {}
): View {
  return h(
    'label',
    {},
    label,
    h('input', {
      key: `${name} ${value}`,
      name,
      defaultValue: value,
      autoComplete: 'off',
      spellcheck: false,
      ...attributes
    })
  )
}

export function choice(
  label: string,
  name: string,
  value: string,
  options: ReadonlyArray<readonly [value: string, text: string]>
): View {
  const items = options.map(([one, text]) => h('option', { value: one, selected: one === value }, text))
  return h('label', {}, label, h('select', { name }, items))
}

export const PROTOCOLS = [
  ['tcp', 'TCP'],
  ['udp', 'UDP']
] as const
