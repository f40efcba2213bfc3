import type { AttestedProcess, FileId, LocalUser, ProcessHandle, ProcessView } from '../attest/index.ts'
import { ErrorCode } from '../core/index.ts'
import type { RegistrationEnd } from '../events/index.ts'
import type { Address, IdentityDocument, Pattern } from '../identity/index.ts'
import type { Checker } from './health/index.ts'
import type { PortServer } from './port-server.ts'

export type Protocol = 'tcp' | 'udp'
export type EndReason = RegistrationEnd

/** The local server that receives the connections of a registration. */
export type Target =
  | {
      readonly kind: 'unix'
      readonly path: string
      /** The process that sees the socket at this path. @default the agent, which made the directory for it */
      readonly owner?: Pick<ProcessHandle, 'pid' | 'isAlive'>
      /** The directory that the agent made; without an owner, no other directory is used. */
      readonly made?: FileId
      readonly uid: number
      /** The server must also be in this view. @default any: the user who named the path knows who can write there */
      readonly view?: ProcessView
      /** Named by a process that is not of the host, which must not reach servers of the host by it. @default false */
      readonly outside?: boolean
      readonly hello: boolean
      readonly protocol: Protocol
      /** Begin each connection with a PROXY protocol v2 header. */
      readonly proxy?: boolean
    }
  | {
      readonly kind: 'tcp'
      readonly host: string
      readonly port: number
      /** Begin each connection with a PROXY protocol v2 header. */
      readonly proxy?: boolean
      /** Undefined: the user of the port is not checked. */
      readonly server: PortServer | undefined
    }
  | { readonly kind: 'udp'; readonly host: string; readonly port: number; readonly server: PortServer | undefined }

/** One registration of one local process, as its agent knows it. */
export interface Workload extends LocalUser {
  /** Hex SHA-256 of the identity document. */
  readonly registrationId: string
  readonly document: IdentityDocument
  readonly address: Address
  readonly spiffeId: string
  readonly application: string
  readonly gid: number
  /** The facts about the processes that claimed it, to verify the claim again. */
  readonly facts: readonly AttestedProcess[]
  /** The process whose end ends the registration. */
  readonly process: ProcessHandle
  readonly target: Target | undefined
  /** How the agent checks the target, if it does. */
  readonly check: Checker | undefined
  readonly protocols: readonly Protocol[]
  readonly whitelist: readonly Pattern[]
  readonly labels: Readonly<Record<string, string>>
  readonly registeredAtMs: number
  readonly ttlMs: number
  /** SHA-256 of the session token; the token itself is not kept. */
  readonly tokenHash: string
  /** Directory made for its listening socket, removed at its end. */
  readonly directory: string | undefined
}

/** Ends after which the same process may register again; the others say that something is missing. */
const OWN_ENDS: ReadonlySet<EndReason> = new Set(['deregistered', 'expired', 'connection closed'])

/** The error for users of a registration after its end: TIMEOUT or INVALID_SOURCE. */
export function codeAfter(reason: EndReason): ErrorCode {
  return OWN_ENDS.has(reason) ? ErrorCode.Timeout : ErrorCode.InvalidSource
}
