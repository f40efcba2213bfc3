export { Grants } from './grants.ts'
export { parseHostPort } from './target.ts'
export type { EndReason, Target, Workload } from './workload.ts'
export { type Caller, type RegisterInput, Workloads } from './workloads.ts'
