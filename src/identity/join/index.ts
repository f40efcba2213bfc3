export {
  type Admission,
  type AdmitDeps,
  admitJoin,
  claimToken,
  isTokenKnown,
  type JoinOffer,
  openRequest,
  wayOf
} from './admit.ts'
export {
  type CertificateAnchor,
  type HostCertificate,
  proveCertificate,
  readAnchor,
  verifyHostCertificate
} from './certificate-proof.ts'
export {
  type Grant,
  type JoinLedger,
  type JoinUse,
  type JoinWay,
  keysOf,
  type StoredToken,
  type WaitingHost
} from './grant.ts'
export { type Joined, type JoinOptions, type JoinProof, join } from './join.ts'
export { type AdmissionFacts, type Candidate, type Judgement, judge, refused as refusedProof } from './judge.ts'
export type { JoinConnection } from './meet.ts'
export { isNamed, isOpen, parseMachinePattern, parseNamePattern, partOf } from './name-pattern.ts'
export { isWithin, parseNetworks } from './networks.ts'
export { JOIN_ALPN } from './protocol.ts'
export { type JoinAnswer, type JoinAuthority, type JoinChannel, serveJoin } from './serve.ts'
export { encodeJoinToken, isInvitation, type JoinToken, machineOfToken, parseJoinToken } from './token.ts'
