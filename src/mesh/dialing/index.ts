export { advertised, listenAddress, parsePeerAddress } from './addresses.ts'
export { dial } from './dial.ts'
export { type DiscoveryOptions, discovery } from './discovery.ts'
export { Redialer } from './redialer.ts'
