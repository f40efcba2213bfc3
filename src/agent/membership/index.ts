export { type Established, establish } from './establish.ts'
export type { Membership } from './membership.ts'
