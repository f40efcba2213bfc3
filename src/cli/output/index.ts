export { cliLogger } from './cli-logger.ts'
export { whenReaderEnds } from './closed-stdout.ts'
export { consequencesSummary, consequencesText, consequencesView } from './consequences.ts'
export {
  type EndView,
  explanation,
  jointExplanation,
  type Step
} from './explanation.ts'
export { isHidden, ONLY_LOOPBACK } from './hidden.ts'
export { type InspectionView, inspectionView } from './identity-document.ts'
export {
  type JoinTrustView,
  type JoinUseView,
  joinTrustTable,
  joinTrustView,
  joinUseTable,
  joinUseView,
  type TokenView,
  tokenTable,
  tokenView,
  type WaitingView,
  waitingTable,
  waitingView
} from './join-views.ts'
export { COLOR_CHOICES, type ColorChoice, sizeIn, terminalColumns, terminalRows, wantLayout } from './layout.ts'
export { formatLimits } from './limits-column.ts'
export { withNextStep } from './next-step.ts'
export { meshFlowTable, type ObservationView, observationLines, observationView } from './observations.ts'
export {
  type AdminView,
  type AuthorityView,
  adminTable,
  adminView,
  authorityTable,
  authorityView,
  type EntryView,
  entryTable,
  entryView,
  type InvariantView,
  invariantTable,
  invariantView,
  LOST_POLICY,
  type RevocationView,
  type RootView,
  revocationTable,
  revocationView,
  rootTable,
  rootView
} from './policy-views.ts'
export { printable } from './printable.ts'
export { formatDuration, formatWhen } from './quantities.ts'
export { RateLimitedLines } from './rate-limit.ts'
export {
  missingHosts,
  type ReceiptView,
  receiptLine,
  receiptsSummary,
  receiptTable,
  receiptView
} from './receipts.ts'
export { clause, clauseWithHint, failureOf } from './report.ts'
export { StartLines } from './start-lines.ts'
export { pairs, table } from './table.ts'
export { guardOutput, jsonLine, leave, print, printJson, printJsonLine, say, sayRaw } from './terminal.ts'
export {
  type FlowView,
  fields,
  flowTable,
  flowView,
  type MemberView,
  memberTable,
  memberView,
  protocolName,
  type RuleView,
  ruleTable,
  ruleView,
  type ServiceView,
  serviceTable,
  serviceView,
  versionTable
} from './views.ts'
