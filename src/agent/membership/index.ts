export { decodeChain } from './chain-file.ts'
export { type Established, establish } from './establish.ts'
export type { Membership } from './membership.ts'
