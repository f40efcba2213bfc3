export { type Assertion, Assertions, type Verdict } from './assertions.ts'
export {
  type Bundle,
  type Content,
  contentOf,
  draftBundle,
  MAX_BUNDLE_BYTES,
  nextChangeMs,
  openBundle,
  type Succession,
  sealBundle,
  succession
} from './bundle.ts'
export { Decisions } from './decisions.ts'
export {
  addEntry,
  addRevocation,
  addRule,
  type NewEntry,
  type NewRevocation,
  type NewRule,
  removeEntry,
  removeRevocation,
  removeRule
} from './edit.ts'
export {
  type Entry,
  gatewayEntries,
  grantingEntry,
  limitingEntries,
  narrowingOptions,
  SELECTORS,
  type Selector,
  wantsExecutable,
  wantsHash,
  whyNotGranted
} from './entry.ts'
export { type Decision, denyOnError, evaluate, type Ground, type Question, type RuleLimits } from './evaluate.ts'
export type { Invariant } from './invariant.ts'
export { type Breach, breaches, breachHint, breachText, requireInvariants } from './invariants.ts'
export { documentFrom, entryFrom, ruleFrom } from './messages.ts'
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
export { MAX_REVOKED_KEYS } from './revocation-codec.ts'
export { isInForce, type Rule, type RuleEffect } from './rule.ts'
export { isLimited, limitFields, limitsOf, tightest, type UsageLimits } from './usage-limits.ts'
