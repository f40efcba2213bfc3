export type { Strategy } from './balance.ts'
export type { SourceHandle } from './endpoint.ts'
export { ENDPOINT_DIRECTORIES, EndpointDirectory, LONGEST_ENDPOINT } from './endpoint-socket.ts'
export { Endpoints } from './endpoints.ts'
export {
  type AcquiredSource,
  type ListenerParts,
  type ListenerRoute,
  type ListenRequest,
  type LocalListener,
  openListener
} from './listener.ts'
export { Outbound } from './outbound.ts'
export { Passages, type PassedListener, type PassedListenRequest } from './passages.ts'
export { Resumer } from './resumer.ts'
export { type InstanceShare, sharesOf } from './shares.ts'
export { openError, SourceFlows } from './source-flows.ts'
export { type Tier, tierOf } from './tiers.ts'
