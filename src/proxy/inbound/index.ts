export { Admission } from './admission.ts'
export { DataServer } from './data-server.ts'
export { dialTarget } from './target.ts'
