export {
  type AdminGrant,
  type AdminKey,
  type AdminRemoval,
  isAdminName,
  isWithinScopes,
  MAX_ADMIN_NAME_LENGTH,
  MAX_ADMIN_SCOPES,
  ROOT_NAME,
  type Role,
  STRICT,
  type Withdrawal
} from './admin.ts'
export { type Admin, adminTree, follows, type HeldSets, MAX_ADMINS, newest } from './admins/admin-tree.ts'
export {
  addAdmin,
  type Editor,
  type NewGrant,
  removeAdmin,
  removeStatement,
  requireAdmin,
  requireWithin,
  strictContent
} from './admins/edit.ts'
export {
  foldSets,
  type InForce,
  isOutside,
  mayObserve,
  type Origin,
  roleOf,
  type StatementList
} from './admins/in-force.ts'
export { requireKept } from './admins/kept.ts'
export { countedSets, grantingSets, SetReplica, type SetVersion } from './admins/replica.ts'
export { type Assertion, Assertions, type Verdict } from './assertions.ts'
export {
  type Bundle,
  type Content,
  contentOf,
  draftBundle,
  MAX_BUNDLE_BYTES,
  MAX_SET_BYTES,
  nextChangeMs,
  openBundle,
  openSet,
  readUnsigned,
  type Signer,
  type Succession,
  sealBundle,
  succession
} from './bundle.ts'
export { containerFields } from './container-codec.ts'
export { Decisions } from './decisions.ts'
export {
  addEntry,
  addRevocation,
  addRule,
  entryOfUser,
  type NewEntry,
  type NewRevocation,
  type NewRule,
  removeEntry,
  removeRevocation,
  removeRule
} from './edit.ts'
export {
  type Entry,
  entriesFor,
  gatewayEntries,
  grantingEntry,
  limitingEntries,
  namingEntries,
  narrowingOptions,
  wantsContainer,
  wantsExecutable,
  wantsHash,
  wantsMore,
  whyNotGranted
} from './entry.ts'
export {
  type Decision,
  type Decisive,
  denyOnError,
  denyWithheld,
  evaluate,
  type Ground,
  type Question,
  type RuleLimits
} from './evaluate.ts'
export type { Invariant } from './invariant.ts'
export { type Breach, breaches, breachHint, breachText, requireInvariants } from './invariants.ts'
export { documentFrom, entryFrom, invariantFrom, revocationFrom, ruleFrom } from './messages.ts'
export {
  type Change,
  type DocumentFault,
  documentFaults,
  type NewInvariant,
  type Plan,
  type PolicyDocument,
  planOf
} from './plan.ts'
export type { Example, Pairs } from './reach.ts'
export { type Difference, type PastConnection, type Replayed, replay } from './replay.ts'
export { MAX_REVOKED_KEYS } from './revocation-codec.ts'
export { isInForce, type Rule, type RuleEffect } from './rule.ts'
export { SELECTORS, type Selector } from './selectors.ts'
export { differencesOf } from './statement-text.ts'
export {
  type Attempt,
  type Suggested,
  type Suggestion,
  type SuggestPolicy,
  suggestRules,
  type Unanswered
} from './suggest.ts'
export { isLimited, limitFields, limitsOf, tightest, type UsageLimits } from './usage-limits.ts'
