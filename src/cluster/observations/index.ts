export { LONG_ASK_LIMITS, LongAsks } from './long-asks.ts'
export { type Ask, decodeObservationQuestion, type Told } from './observation.ts'
export { type HostObservation, Observations, type Observed, type Observer } from './observations.ts'
