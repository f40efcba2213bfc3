export { explain } from './explain.ts'
export type { ExplainDeps, ExplainRequest, ExplainStep, Explanation, Found, Reached } from './types.ts'
