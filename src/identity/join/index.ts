export {
  type Admission,
  type AdmitDeps,
  admitJoin,
  claimToken,
  isTokenKnown,
  type JoinOffer,
  methodOf,
  openRequest
} from './admit.ts'
export {
  type CertificateAnchor,
  type HostCertificate,
  proveCertificate,
  readAnchor,
  verifyHostCertificate
} from './certificate-proof.ts'
export {
  type AdmissionDecision,
  type AdmissionFacts,
  type Candidate,
  decideAdmission,
  refused as refusedProof
} from './decide.ts'
export {
  type Grant,
  type JoinLedger,
  type JoinMethod,
  type JoinUse,
  keysOf,
  type StoredToken,
  type WaitingHost
} from './grant.ts'
export { type Joined, type JoinOptions, join } from './join.ts'
export type { JoinConnection } from './meet.ts'
export { isNamed, isOpen, parseMachinePattern, parseNamePattern, partOf } from './name-pattern.ts'
export { JOIN_ALPN } from './protocol.ts'
export type { JoinProof } from './request.ts'
export { type JoinAnswer, type JoinAuthority, type JoinChannel, serveJoin } from './serve.ts'
export { encodeJoinToken, isInvitation, type JoinToken, machineOfToken, parseJoinToken } from './token.ts'
