import { distanceText, nameOf, timeText } from '../format.ts'
import { h, type View } from '../preact.ts'
import { linkTo } from '../route.ts'
import type { State } from '../state.ts'
import { askedNote, badge, facts, flowTable, hostLink } from './parts.ts'
import { refusalTable } from './refused.ts'

export function workloadPage(state: State, nowMs: number): Array<View | null> {
  const { mesh, flows, refusals, route } = state
  const address = route.subject
  const workload = mesh?.workloads.find(one => one.address === address)
  const isMine = (one: { readonly source: string; readonly destination: string }): boolean =>
    one.source === address || one.destination === address
  const links = [
    h('a', { href: linkTo('explain', '', { destination: nameOf(address) }) }, 'Explain a connection to it'),
    ' · ',
    h('a', { href: linkTo('policy', '', { destinations: nameOf(address) }) }, 'Policy for it')
  ]
  return [
    workload === undefined
      ? h('p', { class: 'none' }, `${address} is not registered now.`)
      : facts([
          ['Host', hostLink(workload.machine)],
          ['Health', badge(workload.suspect ? 'suspect' : workload.health)],
          ['Serves', workload.protocols.join(', ') || 'nothing: it is a client'],
          ['Labels', workload.labels.join(' ')],
          ['Registered', `${timeText(workload.registeredAtMs)} (${distanceText(workload.registeredAtMs, nowMs)})`],
          ['Problem', workload.problem]
        ]),
    h('p', {}, links),
    askedNote(flows?.asked, nowMs),
    flowTable('Its flows now', state, isMine, nowMs),
    refusalTable('Its refused attempts of the last hour', (refusals?.refusals ?? []).filter(isMine), nowMs)
  ]
}
