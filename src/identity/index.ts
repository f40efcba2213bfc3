export {
  type Address,
  addressOfSpiffeId,
  agentSpiffeId,
  formatAddress,
  isComponent,
  type LocalName,
  parseAddress,
  parseLocalName,
  parseMachineName,
  parseTrustDomain,
  RESERVED_SCOPE,
  sameAddress,
  spiffeIdOf
} from './address.ts'
export {
  admitAuthority,
  admitAuthorityRenewal,
  authorityRenewal,
  authorityRequest,
  authorityStatusOf,
  ORDER_FRESH_MS,
  type Order,
  openAuthorityStatus,
  openOrder,
  requireAuthority,
  signOrder
} from './authority/index.ts'
export { signBinding, spkiSha256 } from './certificate/binding.ts'
export {
  BACKDATED_MS,
  type Issuer,
  issueAgent,
  issueAuthority,
  issueNode,
  issueRoot,
  issueWorkload,
  LIFETIME_MS
} from './certificate/issue.ts'
export { type ParsedCertificate, parseCertificate, toPem } from './certificate/parse.ts'
export { type IdentityDocument, registrationIdOf, SessionTokens } from './document.ts'
export {
  type Admission,
  type AdmissionFacts,
  type AdmitDeps,
  admitJoin,
  type Candidate,
  type CertificateAnchor,
  claimToken,
  decideAdmission,
  encodeJoinToken,
  type Grant,
  type HostCertificate,
  isInvitation,
  isNamed,
  isOpen,
  isTokenKnown,
  JOIN_ALPN,
  type JoinAnswer,
  type JoinAuthority,
  type JoinChannel,
  type JoinConnection,
  type Joined,
  type JoinLedger,
  type JoinMethod,
  type JoinOffer,
  type JoinOptions,
  type JoinProof,
  type JoinToken,
  type JoinUse,
  join,
  machineOfToken,
  methodOf,
  openRequest,
  parseJoinToken,
  parseMachinePattern,
  parseNamePattern,
  partOf,
  proveCertificate,
  readAnchor,
  refusedProof,
  type StoredToken,
  serveJoin,
  verifyHostCertificate,
  type WaitingHost
} from './join/index.ts'
export { p256KeyOf } from './key-form.ts'
export {
  CONTEXT,
  type Context,
  generatePeerKeyPair,
  generateSigningKeyPair,
  inContext,
  keyFromPem,
  keyToPem,
  rawPublicKey,
  sign,
  signP256,
  signRaw,
  verifyP256,
  verifySignature
} from './keys.ts'
export { type Matcher, matches, namesOf, namesScope, type Pattern, parsePattern } from './pattern.ts'
export { type PeerKey, parsePeerKey, peerKeyOf, rawKeyOf } from './peer-key.ts'
export {
  admitRenewal,
  askForRenewal,
  askForSuccession,
  MAX_RENEWAL_BYTES,
  openRenewalAnswer,
  RENEW_ALPN,
  type RenewalAuthority,
  type RenewDeps,
  type RenewedHost,
  type RenewKeys,
  renewalAnswer,
  renewalRequest,
  requireRenewed,
  serveRenewal
} from './renew/index.ts'
export {
  evictedAtMs,
  evictionText,
  type RevocableHost,
  type Revocation,
  revocationOfAddress,
  revocationOfHost,
  revocationText
} from './revocation.ts'
export {
  followSuccession,
  openSuccession,
  openSuccessor,
  openTrustBundle,
  pinBetween,
  signTrustBundle,
  type TrustBundleContent,
  type TrustState,
  type TrustStep
} from './trust-bundle.ts'
export {
  type AuthorityIdentity,
  claimedMachine,
  keySha256Of,
  type NodeIdentity,
  type RefusalReason,
  rootOfAuthority,
  type Verdict,
  verifyAgent,
  verifyAuthority,
  verifyNodeChain,
  verifyRenewable,
  verifyStillValid,
  verifyWorkload,
  type WorkloadIdentity
} from './verify/index.ts'
