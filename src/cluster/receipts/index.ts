export type { AppliedPolicies, EnforcementOutcome } from './applied-policies.ts'
export { type MeshReceiptsDeps, receiptsOnMesh } from './mesh-receipts.ts'
export type { Collected, HostReceipt, Receipts } from './receipts.ts'
