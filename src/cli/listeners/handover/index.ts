export type { OwnListener } from './handover.ts'
export { openListener } from './open-listener.ts'
export { type AgentListener, passListener } from './pass-listener.ts'
