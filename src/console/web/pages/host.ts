import { distanceText, timeText } from '../format.ts'
import { h, type View } from '../preact.ts'
import type { State } from '../state.ts'
import { askedNote, badge, facts, flowTable, workloadTable } from './parts.ts'

export function hostPage(state: State, nowMs: number): Array<View | null> {
  const { mesh, flows, route } = state
  const machine = route.subject
  const host = mesh?.hosts.find(one => one.machine === machine)
  if (mesh === undefined || host === undefined) return [h('p', { class: 'none' }, `No host ${machine} is known here.`)]
  const isThere = (address: string): boolean => address.split('.')[4] === machine
  return [
    facts([
      ['State', badge(host.state)],
      ['Version', host.version],
      ['Policy', String(host.policyVersion || '–')],
      ['Addresses', host.addresses.join(', ')],
      [
        'Certificate until',
        `${timeText(host.certificateNotAfterMs)} (${distanceText(host.certificateNotAfterMs, nowMs)})`
      ],
      ...(host.suspectSinceMs > 0 ? [['Does not answer since', timeText(host.suspectSinceMs)] as const] : []),
      ...(host.lostSinceMs > 0 ? [['Lost since', timeText(host.lostSinceMs)] as const] : [])
    ]),
    workloadTable(
      `Workloads of ${machine}`,
      mesh.workloads.filter(one => one.machine === machine),
      nowMs
    ),
    askedNote(flows?.asked, nowMs),
    flowTable(
      `Flows of ${machine} now`,
      state,
      ({ hosts, source, destination }) => hosts.includes(machine) || isThere(source) || isThere(destination),
      nowMs
    )
  ]
}
