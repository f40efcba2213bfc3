export { AppliedPolicies, type EnforcementOutcome } from './applied-policies.ts'
export { decodeReceiptQuestion } from './receipt.ts'
export { type Collected, type HostReceipt, Receipts } from './receipts.ts'
