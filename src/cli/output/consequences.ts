import type { adminPb } from '../../wire/index.ts'
import { formatAge } from './quantities.ts'
import { type Column, table } from './table.ts'
import { type FlowView, fields, flowView } from './views.ts'

/** What a dry run found, as data. */
export interface ConsequencesView {
  readonly flows: ReadonlyArray<FlowView & { readonly cutReason: string }>
  readonly registrations: ReadonlyArray<Omit<adminPb.EndedRegistration, '$typeName' | '$unknown'>>
  /** Every agent knows its own flows, and no other one is asked. */
  readonly otherHostsAsked: false
}

export function consequencesView(consequences: adminPb.Consequences | undefined): ConsequencesView {
  const { flows = [], registrations = [] } = consequences ?? {}
  return {
    flows: flows.flatMap(({ flow, reason }) => (flow === undefined ? [] : [{ ...flowView(flow), cutReason: reason }])),
    registrations: registrations.map(fields),
    otherHostsAsked: false
  }
}

/** The flows and registrations that would end, one a line; empty if there are none. */
export function consequencesText({ flows, registrations }: Pick<ConsequencesView, 'flows' | 'registrations'>): string {
  const now = Date.now()
  const columns: Column<ConsequencesView['flows'][number]>[] = [
    { title: 'WOULD BE CUT', value: flow => flow.direction },
    { title: 'SOURCE', value: flow => flow.source },
    { title: 'DESTINATION', value: flow => flow.destination },
    { title: 'PROTOCOL', value: flow => flow.protocol },
    { title: 'AGE', value: flow => formatAge(Number(flow.openedAtMs), now) },
    { title: 'WHY', value: flow => flow.cutReason }
  ]
  const ended: Column<ConsequencesView['registrations'][number]>[] = [
    { title: 'WOULD END', value: ({ address }) => address },
    { title: 'UID', value: ({ uid }) => String(uid), align: 'right' },
    { title: 'ID', value: ({ registrationId }) => registrationId.slice(0, 12) }
  ]
  return [
    ...(flows.length === 0 ? [] : [table(columns, flows)]),
    ...(registrations.length === 0 ? [] : [table(ended, registrations)])
  ].join('\n\n')
}

export function consequencesSummary({ flows, registrations }: ConsequencesView): string {
  const count = (n: number, what: string): string => `${n} ${what}${n === 1 ? '' : 's'}`
  const ends = registrations.length === 0 ? '' : `, and ${count(registrations.length, 'registration')} would end`
  return `nothing was changed; ${count(flows.length, 'flow')} of this host would be cut${ends}; other hosts were not asked`
}
