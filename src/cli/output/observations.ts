import type { adminPb } from '../../wire/index.ts'
import { printable } from './printable.ts'
import { table } from './table.ts'
import { type FlowView, fields, flowColumns } from './views.ts'

/** What one host has answered. */
export type ObservationView = Omit<adminPb.HostObservation, '$typeName' | '$unknown'>

export function observationView(host: adminPb.HostObservation): ObservationView {
  return fields(host)
}

/** The flows of several hosts; a flow between two hosts is in the list of each. */
export function meshFlowTable(
  hosts: ReadonlyArray<{ readonly machine: string; readonly flows: readonly FlowView[] }>,
  nowMs: number
): string {
  const rows = hosts.flatMap(({ machine, flows }) => flows.map(flow => ({ ...flow, host: machine })))
  return table([{ title: 'HOST', value: (row: (typeof rows)[number]) => row.host }, ...flowColumns(rows, nowMs)], rows)
}

/** A line for each host that did not answer, and the reason. */
export function observationLines(hosts: readonly ObservationView[]): string[] {
  return hosts.flatMap(host => {
    const why = reasonOf(host)
    return why === '' ? [] : [printable(`${host.machine}: ${why}`)]
  })
}

function reasonOf({ state, sinceMs, problem }: ObservationView): string {
  switch (state) {
    case 'answered':
      return problem
    case 'cannot-say':
      return 'cannot say: its program is older'
    case 'suspect':
      return `away${sinceMs === 0n ? '' : ` since ${new Date(Number(sinceMs)).toISOString()}`}: it does not answer`
    default:
      return 'has not answered in time'
  }
}
