export type { CertificateKind, WatchedCertificate } from './alarms.ts'
export { Renewal } from './renewal.ts'
export { type Asker, RenewalDesk } from './renewal-service.ts'
export { Rotation } from './rotation.ts'
