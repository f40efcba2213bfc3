import { type ContextKey, createContextKey, type HandlerContext } from '@connectrpc/connect'
import type { PeerCredentials } from '../attest/index.ts'
import { ErrorCode, WarrenError } from '../core/index.ts'
import type { Share } from './share.ts'

/** The process that makes a call, read from the kernel when the connection was accepted, before a byte of it was parsed. */
export interface Caller extends PeerCredentials {
  /** Aborts when the caller's unix connection is gone. */
  readonly connection: AbortSignal
  /**
   * Keeps `process` open beyond the end of the connection, until the returned function is called.
   *
   * Without a hold, the handle is closed with the connection.
   */
  readonly holdProcess: () => () => void
  /** What its user gets of the agent's time. A call that works again after a change waits for another turn. */
  readonly share: Share
}

/** A connection: its caller, or the reason why each of its calls is refused. */
export type Identification =
  | { readonly ok: true; readonly caller: Caller }
  | { readonly ok: false; readonly error: WarrenError }

/** Where the request listener leaves the caller for the handlers. */
export const CALLER: ContextKey<Caller | undefined> = createContextKey<Caller | undefined>(undefined, {
  description: 'warren caller'
})

/** The caller of a call. */
export function callerOf(context: HandlerContext): Caller {
  const caller = context.values.get(CALLER)
  // A call without a caller would be one without an identity; so it gets nothing.
  if (caller === undefined) throw new WarrenError(ErrorCode.PermissionDenied, 'the caller is unknown')
  return caller
}

/** A caller whose process handle is closed once the connection and every holder have released it. */
export function createCaller(credentials: PeerCredentials, connection: AbortSignal, share: Share): Caller {
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
  return Object.freeze({ ...credentials, connection, holdProcess, share })
}
