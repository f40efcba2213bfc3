export { advertised, listenAddress, parsePeerAddress, socketAddress } from './addresses.ts'
export { dial, type Reached, reach } from './dial.ts'
export { type Discovery, type DiscoveryOptions, discovery } from './discovery.ts'
export { Redialer } from './redialer.ts'
