export { Authorities, AuthorityService, askAuthority, IssuedStore, wireAuthorities } from './authorities/index.ts'
export {
  backupOf,
  backupStopped,
  checkBackupPath,
  exportRootKey,
  importRootKey,
  openBackup,
  readSealedFile,
  restoreState,
  writeBackup
} from './backup/index.ts'
export { certifier } from './certify.ts'
export { JoinService } from './join-service.ts'
export type { JoinTerms } from './joins/terms.ts'
export type { JoinTokens, ListedToken, TokenRequest } from './joins/tokens.ts'
export { type JoinTrust, type JoinTrusts, subjectOf } from './joins/trusts.ts'
export type { WaitingHosts } from './joins/waiting.ts'
export { type JwtHost, keySet, signJwt, validateJwt } from './jwt.ts'
export { type Lifetimes, resolveLifetimes } from './lifetimes.ts'
export { dialAgent, establish, type Membership, requireWay } from './membership/index.ts'
export { askOverMesh, authoritiesOf, wireRenewals } from './renewal-wiring.ts'
export { RootRotation, type RootStatus } from './roots/index.ts'
export {
  Renewal,
  RenewalService,
  Rotation,
  type WatchedCertificate
} from './rotation/index.ts'
export { renewAt, type Svid, Svids } from './svids.ts'
