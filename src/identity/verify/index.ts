export { type AuthorityIdentity, keySha256Of, rootOfAuthority, verifyAuthority } from './authority.ts'
export { claimedMachine, verifyAgent, verifyWorkload, type WorkloadIdentity } from './leaf.ts'
export {
  MAX_SCOPES,
  type NodeIdentity,
  openBinding,
  verifyNodeChain,
  verifyRenewable,
  verifyStillValid
} from './node.ts'
export { Refusal, type RefusalReason, type Verdict, verdictOf } from './verdict.ts'
