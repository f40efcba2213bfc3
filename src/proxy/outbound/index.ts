export type { Strategy } from './balance.ts'
export { ENDPOINT_DIRECTORIES, EndpointDirectory, LONGEST_ENDPOINT } from './endpoint-socket.ts'
export { Endpoints, openError, type SourceHandle } from './endpoints.ts'
export { Outbound } from './outbound.ts'
