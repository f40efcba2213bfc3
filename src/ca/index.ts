export { Authorities, AuthorityDesk, askAuthority, IssuedBook, wireAuthorities } from './authorities/index.ts'
export {
  backupOf,
  backupStopped,
  exportRootKey,
  importRootKey,
  openBackup,
  readSealedFile,
  restoreState
} from './backup/index.ts'
export { certifier } from './certify.ts'
export { AdmissionOffice } from './join-service.ts'
export { type JwtHost, keySet, signJwt, validateJwt } from './jwt.ts'
export { type Lifetimes, resolveLifetimes } from './lifetimes.ts'
export { dialAgent, establish, type Membership, type TrustFile } from './membership/index.ts'
export { askOverMesh, authoritiesOf, wireRenewals } from './renewal-wiring.ts'
export { askForTrust, RootRotation, type RootStatus, TrustService, wireTrust } from './roots/index.ts'
export {
  AUTHORITY_CAPABILITY,
  AuthorityBook,
  Renewal,
  RenewalDesk,
  Rotation,
  type WatchedCertificate
} from './rotation/index.ts'
export { renewAt, type Svid, Svids } from './svids.ts'
