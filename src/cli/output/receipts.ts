import type { adminPb } from '../../wire/index.ts'
import { printable } from './printable.ts'
import { formatAge } from './quantities.ts'
import { type Column, table } from './table.ts'
import type { Tone } from './tone.ts'
import { fields } from './views.ts'

/** What is known of one host and one version of the policy. */
export type ReceiptView = Omit<adminPb.HostReceipt, '$typeName' | '$unknown'>

export function receiptView(receipt: adminPb.HostReceipt): ReceiptView {
  return fields(receipt)
}

/** One host in one line, for people. */
export function receiptLine(receipt: ReceiptView): string {
  return printable(`${receipt.machine}: ${said(receipt)}`)
}

const TONES: Readonly<Record<string, Tone>> = { applied: 'good', refused: 'bad', failed: 'bad' }

/** All hosts, for people. */
export function receiptTable(receipts: readonly ReceiptView[], nowMs: number): string {
  const counts = (receipt: ReceiptView, count: number): string => (hasSpoken(receipt) ? String(count) : '-')
  const columns: Column<ReceiptView>[] = [
    { title: 'HOST', value: ({ machine }) => machine },
    { title: 'STATE', value: ({ state }) => state, tone: ({ state }) => TONES[state] ?? 'warning' },
    { title: 'VERSION', value: ({ policyVersion }) => String(policyVersion), align: 'right', rank: 1 },
    { title: 'FLOWS CUT', value: receipt => counts(receipt, receipt.flowsCut), align: 'right' },
    {
      title: 'REGISTRATIONS ENDED',
      value: receipt => counts(receipt, receipt.registrationsEnded),
      align: 'right',
      rank: 2
    },
    { title: 'APPLIED', value: ({ appliedAtMs }) => ago(appliedAtMs, nowMs), rank: 3 },
    { title: 'AWAY', value: ({ sinceMs }) => formatAge(Number(sinceMs), nowMs) },
    { title: 'PROBLEM', value: ({ problem }) => problem }
  ]
  return table(columns, receipts)
}

/** How many members have applied a version, and what that cut. */
export function receiptsSummary(version: bigint, receipts: readonly ReceiptView[]): string {
  const members = receipts.filter(isMember)
  const applied = members.filter(({ state }) => state === 'applied')
  const cut = applied.reduce((sum, { flowsCut }) => sum + flowsCut, 0)
  const hosts = members.length === 1 ? '1 host' : `${members.length} hosts`
  const who = applied.length === members.length ? hosts : `only ${applied.length} of ${hosts}`
  return `policy version ${version}: ${who} applied it; flows cut, counted on each host: ${cut}`
}

/** Members that have not said that they applied the version. */
export function missingHosts(receipts: readonly ReceiptView[]): string[] {
  const missing = receipts.filter(receipt => isMember(receipt) && !['applied', 'announced'].includes(receipt.state))
  return missing.map(({ machine }) => machine)
}

function said(receipt: ReceiptView): string {
  const { state, policyVersion, flowsCut, registrationsEnded, sinceMs, problem } = receipt
  const since = sinceMs === 0n ? '' : ` since ${new Date(Number(sinceMs)).toISOString()}`
  switch (state) {
    case 'applied': {
      const ended = registrationsEnded === 0 ? '' : `, registrations ended: ${registrationsEnded}`
      return `applied version ${policyVersion}, flows cut: ${flowsCut}${ended}`
    }
    case 'refused':
      return `REFUSED it: ${problem}`
    case 'failed':
      return `applied version ${policyVersion} in part only: ${problem}`
    case 'announced':
      return `announces version ${policyVersion}; its program is older and cannot say what it cut`
    case 'cannot-say':
      return `cannot say: its program is older${announced(policyVersion)}`
    case 'silent':
      return `has not said in time that it applied this${announced(policyVersion)}`
    case 'suspect':
      return `away${since}: it does not answer; it takes the version when it returns`
    case 'left':
      return `was stopped${since.replace(' since', '')}; it takes the version when it returns`
    case 'lost':
      return `away${since}: no member any more; it takes the version when it returns`
    case 'evicted':
      return `evicted${since.replace(' since', '')}`
    default:
      return state
  }
}

// Hosts announce no version of the set of a single admin.
function announced(version: bigint): string {
  return version === 0n ? '' : `; it announces version ${version}`
}

function isMember({ state }: ReceiptView): boolean {
  return state !== 'left' && state !== 'lost' && state !== 'evicted'
}

function hasSpoken({ state }: ReceiptView): boolean {
  return state === 'applied' || state === 'failed'
}

function ago(thenMs: bigint, nowMs: number): string {
  return thenMs === 0n ? '-' : `${formatAge(Number(thenMs), nowMs)} ago`
}
