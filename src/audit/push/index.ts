export { AuditPush, type AuditPushOptions } from './push.ts'
export type { PushStatus } from './pusher.ts'
