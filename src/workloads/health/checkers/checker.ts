import type { Socket } from 'node:net'
import type { RegisterInput } from '../../register-input.ts'
import type { Target } from '../../target.ts'

/** The target that a registration asks for, before anything is made for it. */
export type WantedTarget = NonNullable<RegisterInput['target']>

/** The functions of the data plane that a checker needs; this room does not import that one. */
export interface CheckIo {
  /** Connects as a flow would. Rejects with DESTINATION_UNREACHABLE, or with the signal's reason. */
  readonly dial: (target: Exclude<Target, { kind: 'udp' }>, signal: AbortSignal) => Promise<Socket>
  /** The first frame of a connection that asks a program of the library for a sign of life. */
  readonly probeFrame: () => Buffer
  /** The PROXY protocol v2 header that a connection to `target` begins with; undefined if it begins with none. */
  readonly headerFor: (
    socket: Socket,
    target: Exclude<Target, { kind: 'udp' }>,
    source: { readonly spiffeId: string; readonly flowId: string }
  ) => Buffer | undefined
}

/** What is checked. */
export interface CheckedServer {
  readonly target: Target
  /** The identity of its registration. */
  readonly spiffeId: string
  /** What it is asked for: a path or a service. @default '', the checker's own choice */
  readonly subject?: string
}

/** What the PROXY header of a check has in the place of the identifier of a flow. */
export const CHECK_FLOW_ID = 'health-check'

/** Whether connections to a target begin with what the other end says: without a frame of warren. */
export function takesStreams(target: WantedTarget): boolean {
  return target.kind === 'tcp' || target.kind === 'unix' || (target.kind === 'listen' && !target.hello)
}

/** One way to find out whether a server lives. A file of this folder, and a line in its index. */
export interface Checker {
  /** Its name in a registration: the value of `warren.api.v1.HealthCheck`, in lower case. */
  readonly name: string
  /** Whether a server at this target can be checked so. */
  readonly canCheck: (target: WantedTarget) => boolean
  /** Whether it checks such a target without being named. @default wherever it can */
  readonly isDefault?: (target: WantedTarget) => boolean
  /** How long a new server may take before a failure counts, in milliseconds. @default 0 */
  readonly startMs?: number
  /** Whether it can be asked for a path or a service, as in `http:/healthz`. @default false */
  readonly hasSubject?: boolean
  /**
   * Resolves if the server lives. Rejects with DESTINATION_UNREACHABLE if it does not, or with the signal's reason.
   */
  readonly check: (server: CheckedServer, io: CheckIo, signal: AbortSignal) => Promise<void>
}
