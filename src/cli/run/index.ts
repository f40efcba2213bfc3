export { NotStarted, SignalRelay } from './child.ts'
export { isolateNetwork } from './isolate.ts'
export { parsePair } from './pair.ts'
export { prepare, type Undo } from './prepare.ts'
