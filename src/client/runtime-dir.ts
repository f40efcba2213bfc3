import { existsSync, lstatSync } from 'node:fs'
import { join } from 'node:path'
import { ErrorCode, WarrenError } from '../core/index.ts'

/** Environment variables that select the runtime directory. */
export interface Environment {
  readonly WARREN_RUNTIME_DIR?: string | undefined
  readonly XDG_RUNTIME_DIR?: string | undefined
}

/** Directory of the sockets of an agent that runs as root. */
const SYSTEM_DIR = '/run/warren'

/**
 * The runtime directory of an agent that runs as `uid`: `WARREN_RUNTIME_DIR`, else `/run/warren` for root, else
 * `$XDG_RUNTIME_DIR/warren`, else `/tmp/warren-<uid>`. Depends only on its arguments.
 */
export function runtimeDir(env: Environment = process.env, uid: number = ownUid()): string {
  // An empty variable counts as unset, as in the XDG specification.
  if (env.WARREN_RUNTIME_DIR) return env.WARREN_RUNTIME_DIR
  if (uid === 0) return SYSTEM_DIR
  return env.XDG_RUNTIME_DIR ? join(env.XDG_RUNTIME_DIR, 'warren') : fallbackDir(uid)
}

/**
 * The runtime directory of the agent to use: as `runtimeDir`, or the system's if only that one has an agent.
 *
 * Throws PERMISSION_DENIED if the directory is in `/tmp` and another user made it: that user could answer there in the
 * name of an agent.
 */
export function agentDir(env: Environment = process.env, uid: number = ownUid()): string {
  const own = runtimeDir(env, uid)
  if (env.WARREN_RUNTIME_DIR) return own
  if (own !== fallbackDir(uid)) return existsSync(join(own, 'agent.sock')) ? own : orSystem(own)
  const stat = lstatSync(own, { throwIfNoEntry: false })
  if (stat === undefined) return orSystem(own)
  if (stat.uid !== uid || !stat.isDirectory()) {
    throw new WarrenError(ErrorCode.PermissionDenied, `${own} was not made by this user`, {
      hint: 'Set WARREN_RUNTIME_DIR to the runtime directory of the agent.'
    })
  }
  return existsSync(join(own, 'agent.sock')) ? own : orSystem(own)
}

function orSystem(own: string): string {
  return existsSync(join(SYSTEM_DIR, 'agent.sock')) ? SYSTEM_DIR : own
}

/** Whether `dir` is the one that this user gets if nobody names another: in a place where every user may make it. */
export function isFallbackDir(dir: string): boolean {
  return dir === fallbackDir(ownUid())
}

function fallbackDir(uid: number): string {
  return `/tmp/warren-${uid}`
}

function ownUid(): number {
  return process.getuid?.() ?? 0
}
