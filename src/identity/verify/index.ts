export { type AuthorityIdentity, keySha256Of, rootOfAuthority, verifyAuthority } from './authority.ts'
export { claimedMachine, verifyAgent, verifyWorkload, type WorkloadIdentity } from './leaf.ts'
export { MAX_SCOPES, type NodeIdentity, openBinding, verifyNodeChain, verifyRenewable, verifyStanding } from './node.ts'
export { judge, Refusal, type RefusalReason, type Verdict } from './verdict.ts'
