export { Admission } from './admission.ts'
export { DataServer } from './data-server.ts'
export { ResumableFlows } from './resumable-flows.ts'
export { dialTarget } from './target.ts'
