import type { HostView } from '../../shapes.ts'
import { countText } from '../format.ts'
import { MapCanvas } from '../map/map-canvas.ts'
import { h, type View } from '../preact.ts'
import { type State, update } from '../state.ts'
import { askedNote, badge, flowTable, hostLink, table, workloadTable } from './parts.ts'

const HELP =
  'Drag to move, turn the wheel to zoom, click for details. On the keyboard: arrows, + and -, 0 for everything, Enter for what is in the middle. The tables below show the same.'

let map: MapCanvas | undefined

/** Hosts and workloads as a picture, and the same as tables. */
export function mapPage(state: State, nowMs: number): Array<View | null> {
  const { mesh, flows, search } = state
  map?.show(state)
  const hosts = mesh?.hosts ?? []
  const workloads = mesh?.workloads ?? []
  const found = (text: string): boolean => text.includes(search)
  const ofHost = Map.groupBy(workloads, ({ machine }) => machine)
  return [
    h(
      'form',
      { role: 'search', class: 'search', onSubmit: (event: Event) => event.preventDefault() },
      h(
        'label',
        {},
        'Find a host or a workload',
        h('input', {
          type: 'search',
          name: 'search',
          value: search,
          autoComplete: 'off',
          spellcheck: false,
          onInput: (event: Event) => update({ search: (event.currentTarget as HTMLInputElement).value })
        })
      )
    ),
    h(
      'figure',
      { class: 'map' },
      h('canvas', {
        tabIndex: 0,
        role: 'application',
        'aria-label': `Map of ${countText(hosts.length, 'host')} and ${countText(workloads.length, 'workload')}`,
        'aria-describedby': 'map-help',
        ref: attach
      }),
      h('output', { id: 'map-point' }),
      h('figcaption', { id: 'map-help' }, HELP, legend())
    ),
    askedNote(flows?.asked, nowMs),
    flowTable(
      `Flows of all hosts now${flows !== undefined && flows.leftOut > 0 ? `, without ${countText(flows.leftOut, 'smaller one')}` : ''}`,
      state,
      flow => found(flow.source) || found(flow.destination),
      nowMs
    ),
    table<HostView>(
      'Hosts',
      [
        { title: 'Host', value: host => hostLink(host.machine) },
        { title: 'State', value: host => badge(host.state) },
        { title: 'Workloads', value: host => String(ofHost.get(host.machine)?.length ?? 0), isNumber: true },
        { title: 'Version', value: host => host.version },
        { title: 'Policy', value: host => String(host.policyVersion || '–'), isNumber: true }
      ],
      hosts.filter(({ machine }) => found(machine)),
      'No host matches.'
    ),
    workloadTable(
      `Workloads${mesh !== undefined && mesh.leftOut > 0 ? `, without ${countText(mesh.leftOut, 'further one')}` : ''}`,
      workloads.filter(({ address }) => found(address)),
      nowMs
    )
  ]
}

function attach(element: Element | null): void {
  map?.stop()
  map = undefined
  if (!(element instanceof HTMLCanvasElement)) return
  // Not by the state: it changes with each movement of the pointer.
  map = new MapCanvas(element, text => {
    const output = document.getElementById('map-point')
    if (output !== null) output.textContent = text
  })
  update({})
}

function legend(): View {
  const carriers = [
    ['direct', 'direct'],
    ['mesh', 'over the mesh, dashed'],
    ['relay', 'over a relay, dotted']
  ] as const
  const items = carriers.map(([name, text]) =>
    h('li', {}, h('span', { class: `line ${name}`, 'aria-hidden': true }), text)
  )
  return h('ul', { class: 'legend', 'aria-label': 'Lines of flows by carrier' }, items)
}
