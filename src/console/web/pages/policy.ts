import type { Cell, MatrixView, RuleView } from '../../shapes.ts'
import { countText, timeText } from '../format.ts'
import { h, type View } from '../preact.ts'
import { linkTo } from '../route.ts'
import { type State, update } from '../state.ts'
import { choice, field, form, PROTOCOLS, table } from './parts.ts'

export function policyPage({ route, matrix, cell }: State): Array<View | null> {
  const value = (name: string): string => route.query.get(name) ?? ''
  const filter = form(
    'Choose sources and destinations',
    ({ sources = '', destinations = '', protocol = 'tcp' }) => {
      update({ cell: undefined })
      location.hash = linkTo('policy', '', { sources, destinations, protocol })
    },
    [
      field('Sources', 'sources', value('sources'), { placeholder: 'dev.*.*.*' }),
      field('Destinations', 'destinations', value('destinations'), { placeholder: 'dev.web.*.*' }),
      choice('Protocol', 'protocol', value('protocol'), PROTOCOLS),
      h('button', { type: 'submit' }, 'Show')
    ]
  )
  if (matrix === undefined) return [filter, h('p', { class: 'none' }, 'The policy is not known.')]
  return [
    filter,
    h(
      'p',
      {},
      'Each cell shows the rule that decides. The whitelist of a destination, which only its host knows, can allow more within a scope: Explain asks there.'
    ),
    ...(matrix.sources.length === 0 || matrix.destinations.length === 0
      ? [h('p', { class: 'none' }, 'No registered workload matches.')]
      : [grid(matrix), leftOut(matrix), detail(matrix, cell)]),
    table<RuleView>(
      `Rules of policy version ${matrix.version}`,
      [
        { title: 'Rule', value: rule => rule.id },
        { title: 'Effect', value: rule => rule.effect },
        { title: 'Source', value: rule => rule.source },
        { title: 'Destination', value: rule => rule.destination },
        { title: 'Protocols', value: rule => rule.protocols.join(', ') || 'all' },
        { title: 'Until', value: rule => timeText(rule.untilMs) },
        { title: 'Owner', value: rule => rule.owner },
        { title: 'Reason', value: rule => rule.reason }
      ],
      matrix.rules,
      'There are no rules: nothing is allowed but by whitelists.'
    )
  ]
}

function grid({ sources, destinations, cells, protocol }: MatrixView): View {
  const head = destinations.map(name => h('th', { scope: 'col' }, h('span', {}, name)))
  const rows = sources.map((source, row) =>
    h(
      'tr',
      {},
      h('th', { scope: 'row' }, source),
      (cells[row] ?? []).map((cell, column) => {
        const label = `${source} to ${destinations[column]}: ${inWords(cell)}`
        const onClick = (): void => update({ cell: [row, column], notice: label })
        return h(
          'td',
          {},
          h(
            'button',
            { type: 'button', class: `cell ${cell.verdict}`, 'aria-label': label, title: cell.text, onClick },
            mark(cell)
          )
        )
      })
    )
  )
  return h(
    'div',
    { class: 'wide' },
    h(
      'table',
      { class: 'matrix' },
      h(
        'caption',
        {},
        `Connections by ${protocol.toUpperCase()}: a row for each source, a column for each destination`
      ),
      h('thead', {}, h('tr', {}, h('td', {}), head)),
      h('tbody', {}, rows)
    )
  )
}

function leftOut({ leftOutSources, leftOutDestinations }: MatrixView): View | null {
  if (leftOutSources + leftOutDestinations === 0) return null
  const text = `${countText(leftOutSources, 'source')} and ${countText(leftOutDestinations, 'destination')} are left out: give patterns.`
  return h('p', { class: 'none' }, text)
}

function detail({ sources, destinations, cells, protocol }: MatrixView, chosen: State['cell']): View {
  const [row, column] = chosen ?? [-1, -1]
  const [source, destination, cell] = [sources[row], destinations[column], cells[row]?.[column]]
  if (source === undefined || destination === undefined || cell === undefined) {
    return h('p', { class: 'none' }, 'Choose a cell to see why.')
  }
  const query = { source, destination, protocol }
  return h(
    'section',
    { class: 'detail', 'aria-label': 'Why' },
    h('p', {}, h('strong', {}, `${source} → ${destination}: ${inWords(cell)}`)),
    h('p', {}, cell.text),
    h(
      'p',
      {},
      h('a', { href: linkTo('explain', '', query) }, 'Explain'),
      cell.verdict === 'allowed' ? null : [' · ', h('a', { href: linkTo('draft', '', query) }, 'Draft a rule')]
    )
  )
}

function mark({ verdict, rule }: Cell): string {
  const sign = { allowed: '✓', denied: '✗', audited: '◉', mixed: '±' }[verdict]
  return rule === '' ? sign : `${sign} ${rule}`
}

function inWords({ verdict, rule }: Cell): string {
  return rule === '' ? verdict : `${verdict} by ${rule}`
}
