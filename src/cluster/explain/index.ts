export type { RouteShare } from './choice.ts'
export { explain } from './explain.ts'
export { type Reach, type ReachDeps, type ReachedPair, type ReachStatement, reachOf } from './reach.ts'
export type { ExplainDeps, ExplainRequest, ExplainStep, Explanation, Found, Reached } from './types.ts'
