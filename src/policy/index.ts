export {
  type Bundle,
  MAX_BUNDLE_BYTES,
  nextChangeMs,
  openBundle,
  type Succession,
  sealBundle,
  succession
} from './bundle.ts'
export { addRule, type NewRule, removeRule } from './edit.ts'
export { type Decision, denyOnError, evaluate, type Ground, type Question } from './evaluate.ts'
export { type Effect, isInForce, type Protocol, type Rule } from './rule.ts'
