import { type ContextKey, createContextKey, type HandlerContext } from '@connectrpc/connect'
import type { LocalUser } from '../attest/index.ts'
import { ErrorCode, WarrenError } from '../core/index.ts'

/** A hold on one process that a reused pid cannot fool. */
export interface ProcessHandle {
  readonly pid: number
  /** Whether that very process still runs. */
  isAlive(): boolean
  close(): void
}

/** The process at the other end of a unix connection, as the kernel describes it. */
export interface PeerCredentials extends LocalUser {
  readonly gid: number
  readonly pid: number
  readonly process: ProcessHandle
  /** Whether the ports of the agent's loopback interface are those of its own. */
  readonly sharesNetwork: boolean
}

/** The caller: read from the kernel when the connection was accepted, before a byte of it was parsed. */
export interface Caller extends PeerCredentials {
  /** Aborts when the caller's unix connection is gone. */
  readonly connection: AbortSignal
  /**
   * Keeps `process` open beyond the end of the connection, until the returned function is called.
   *
   * Without a hold, the handle is closed with the connection.
   */
  readonly holdProcess: () => () => void
}

/** The result of the check of a connection: its caller, or the reason why its calls are refused. */
export type Admission =
  | { readonly ok: true; readonly caller: Caller }
  | { readonly ok: false; readonly error: WarrenError }

/** Where the request listener leaves the admission for the handlers. */
export const ADMISSION: ContextKey<Admission | undefined> = createContextKey<Admission | undefined>(undefined, {
  description: 'warren admission'
})

/** The caller of a call, or the refusal of its connection as a throw. */
export function callerOf(context: HandlerContext): Caller {
  const admission = context.values.get(ADMISSION)
  // A call without an admission has no identity, so it is refused.
  if (admission === undefined) throw new WarrenError(ErrorCode.PermissionDenied, 'the caller is unknown')
  if (!admission.ok) throw admission.error
  return admission.caller
}

/** A caller whose process handle is closed once the connection and every holder have released it. */
export function createCaller(credentials: PeerCredentials, connection: AbortSignal): Caller {
  let holds = 0
  const holdProcess = (): (() => void) => {
    holds += 1
    let held = true
    return () => {
      if (!held) return
      held = false
      holds -= 1
      if (holds === 0) credentials.process.close()
    }
  }
  connection.addEventListener('abort', holdProcess(), { once: true })
  return Object.freeze({ ...credentials, connection, holdProcess })
}
