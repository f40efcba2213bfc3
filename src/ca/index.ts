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
export {
  type JoinTerms,
  type JoinTokens,
  type JoinTrust,
  type JoinTrusts,
  type ListedToken,
  subjectOf,
  type WaitingHosts
} from './joins/index.ts'
export { type JwtHost, keySet, signJwt, tokenKeys, validateJwt } from './jwt.ts'
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
export { signWit, type Wit, witKeySet } from './wit.ts'
