export { openTraces, type TraceDeps } from './open.ts'
