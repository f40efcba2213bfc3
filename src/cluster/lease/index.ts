export { confirmationOf, openConfirmation } from './confirmation.ts'
export { type LeaseParts, POLICY_LEASE_CAPABILITY, PolicyLease } from './policy-lease.ts'
export { policyDigest, verdictOn } from './verdict.ts'
