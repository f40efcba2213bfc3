export { Admission } from './admission.ts'
export { DataServer } from './data-server.ts'
export { probeTarget } from './probe.ts'
