export {
  type Bundle,
  type Content,
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
export { MAX_REVOKED_KEYS } from './revocation-codec.ts'
export { isInForce, type Rule, type RuleEffect } from './rule.ts'
export { isLimited, limitFields, limitsOf, tightest, type UsageLimits } from './usage-limits.ts'
