import { existsSync, lstatSync } from 'node:fs'
import { join } from 'node:path'
import { ErrorCode, WarrenError } from '../core/index.ts'

/** Environment variables that are read here. */
export interface Environment {
  readonly WARREN_RUNTIME_DIR?: string | undefined
  readonly XDG_RUNTIME_DIR?: string | undefined
}

/** Where the agent of a host that runs as root has its sockets. */
const SYSTEM_DIR = '/run/warren'

/**
 * The runtime directory of an agent that runs as `uid`: `WARREN_RUNTIME_DIR`, else `/run/warren` for root, else
 * `$XDG_RUNTIME_DIR/warren`, else `/tmp/warren-<uid>`. Reads nothing but its arguments.
 */
export function runtimeDir(env: Environment = process.env, uid: number = ownUid()): string {
  // An empty variable is an unset one, as the XDG specification has it.
  if (env.WARREN_RUNTIME_DIR) return env.WARREN_RUNTIME_DIR
  if (uid === 0) return SYSTEM_DIR
  return env.XDG_RUNTIME_DIR ? join(env.XDG_RUNTIME_DIR, 'warren') : fallbackDir(uid)
}

/**
 * The runtime directory of the agent to talk to: as `runtimeDir`, or the system's if only that one has an agent.
 *
 * Throws PERMISSION_DENIED if the directory is in `/tmp` and somebody else made it: another user could answer there in
 * the name of an agent.
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

function fallbackDir(uid: number): string {
  return `/tmp/warren-${uid}`
}

function ownUid(): number {
  return process.getuid?.() ?? 0
}
