export type { CertificateKind, WatchedCertificate } from './alarms.ts'
export { Renewal } from './renewal.ts'
export { RenewalService, type Requester } from './renewal-service.ts'
export { Rotation } from './rotation.ts'
