import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { type FileId, type FoundSocket, findSocket, type ProcessHandle } from '../attest/index.ts'
import { ErrorCode, WarrenError } from '../core/index.ts'
import { requireSocketPath } from './target.ts'

/** The sockets of the agent in its runtime directory, and the directory of the sockets of clients. */
const OWN_SOCKETS = ['agent.sock', 'admin.sock', 'spiffe.sock']
const ENDPOINTS = 'endpoints'

/**
 * Looks at the unix target of a registration before it takes effect.
 *
 * Throws PERMISSION_DENIED if the agent may not read the view of `owner`, may not reach the socket, or the path leads to a
 * socket of the agent in `runtimeDirs`, INVALID_ARGUMENT for a path through another process's view, or an error of `findSocket`. A server
 * that does not listen yet is none of these; each connection is checked again when it is made.
 */
export async function checkUnixTarget(
  owner: ProcessHandle,
  path: string,
  runtimeDirs: readonly string[]
): Promise<void> {
  requireSocketPath(path)
  let found: FoundSocket
  try {
    found = await findSocket(owner, path)
  } catch (err) {
    if (err instanceof WarrenError) throw err
    const { code } = err as NodeJS.ErrnoException
    if (code === 'ELOOP') throw outOfView(path)
    if (code === 'EACCES' || code === 'EPERM') throw outOfReach(path)
    return
  }
  try {
    const file = found.file()
    if (file !== undefined && runtimeDirs.some(directory => isOwn(file, directory))) throw ownSocket(path)
  } finally {
    found.close()
  }
}

function isOwn({ dev, ino }: FileId, runtimeDir: string): boolean {
  const is = (path: string): boolean => {
    const own = statSync(path, { bigint: true, throwIfNoEntry: false })
    return own?.dev === dev && own.ino === ino
  }
  if (OWN_SOCKETS.some(name => is(join(runtimeDir, name)))) return true
  const endpoints = join(runtimeDir, ENDPOINTS)
  // An agent with a directory for containers has them there alone.
  return existsSync(endpoints) && readdirSync(endpoints).some(name => is(join(endpoints, name)))
}

function outOfView(path: string): WarrenError {
  return new WarrenError(
    ErrorCode.InvalidArgument,
    `"${path.slice(0, 120)}" leads in a circle, or through another process`,
    {
      hint: 'Give the path as the process that serves sees it, without /proc/PID/root or /proc/PID/fd.'
    }
  )
}

function outOfReach(path: string): WarrenError {
  return new WarrenError(ErrorCode.PermissionDenied, `this agent may not reach "${path.slice(0, 120)}"`, {
    hint: 'Run the agent as its systemd unit does, or let the server listen on the socket that the agent makes for it (`register --listen`).'
  })
}

function ownSocket(path: string): WarrenError {
  return new WarrenError(ErrorCode.PermissionDenied, `"${path.slice(0, 120)}" is a socket of the agent itself`, {
    hint: 'Give the path of the socket on which your server listens.'
  })
}
