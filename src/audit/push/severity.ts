/** How much a record matters, by its name alone: for receivers that sort by it. */
export type Severity = 'warning' | 'notice' | 'info'

const INFO: ReadonlySet<string> = new Set([
  'flow-opened',
  'flow-ended',
  'audit-opened',
  'audit-checkpoint',
  'audit-rotated',
  'audit-closed'
])
const WARNING = /-refused$|^audit-(gap|repaired|push-gap)$|evicted|revoked/

export function severityOf(event: string): Severity {
  if (INFO.has(event)) return 'info'
  return WARNING.test(event) ? 'warning' : 'notice'
}
