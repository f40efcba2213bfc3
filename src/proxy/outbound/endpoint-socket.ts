import { randomBytes } from 'node:crypto'
import {
  chmodSync,
  chownSync,
  closeSync,
  constants,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  unlinkSync
} from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { ErrorCode, kindOf, MAX_SOCKET_PATH_BYTES, standsAt, WarrenError } from '../../core/index.ts'

const STAGING = 'staging'
const PUBLIC = 'endpoints'
/** Length of a random name, in hexadecimal digits. */
const NAME_LENGTH = 24
/** Directories that this file makes in a runtime directory. */
export const ENDPOINT_DIRECTORIES: readonly string[] = [STAGING, PUBLIC]
/** Bytes of the longest path of an endpoint, below its runtime directory. */
export const LONGEST_ENDPOINT = join('/', PUBLIC, 'x'.repeat(NAME_LENGTH)).length

// Missing in Node's constants. Opens the path itself, so that it may be a socket.
const O_PATH = 0o10000000
const BACKLOG = 511

/** A listening unix socket that only its owner can connect to. */
export interface EndpointSocket {
  readonly path: string
  /** Whether the path is still there: a cleaner of runtime directories may have removed it. */
  readonly exists: () => boolean
  /** Stops listening and removes the path. Connections stay open. */
  readonly close: () => void
}

/**
 * The directories where endpoints are made and where they appear. Both belong to the agent, and only it can write
 * there.
 */
export class EndpointDirectory {
  readonly #staging: string
  readonly #public: string

  constructor(runtimeDir: string) {
    this.#staging = join(runtimeDir, STAGING)
    this.#public = join(runtimeDir, PUBLIC)
  }

  /**
   * Makes the directories and removes the sockets that a killed agent left there. Throws STATE_UNUSABLE when one of
   * them is not a directory (a link, above all), or contains anything but sockets: that is not ours to remove.
   */
  prepare(): void {
    // Other users must be able to pass through `endpoints`, but not to list it.
    for (const [path, mode] of [
      [this.#staging, 0o700],
      [this.#public, 0o711]
    ] as const) {
      mkdirSync(path, { recursive: true, mode })
      requireOwn(path)
      chmodSync(path, mode)
      for (const name of readdirSync(path)) removeSocket(join(path, name))
    }
  }

  /**
   * Makes a socket at a random unused path, mode 0600, owned by `uid`. Rejects with CANNOT_CONNECT.
   *
   * It gets its owner and mode in the private directory and only then appears, so no other user can ever reach it.
   */
  async open(uid: number, onConnection: (socket: Socket) => void): Promise<EndpointSocket> {
    const name = randomBytes(NAME_LENGTH / 2).toString('hex')
    const staged = join(this.#staging, name)
    const path = join(this.#public, name)
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, onConnection)
    try {
      if (Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES)
        throw new Error(`${path} is longer than ${MAX_SOCKET_PATH_BYTES} bytes`)
      await listen(server, staged)
      give(staged, uid)
      renameSync(staged, path)
    } catch (cause) {
      server.close()
      throw new WarrenError(ErrorCode.CannotConnect, `cannot make a socket for uid ${uid}`, {
        cause,
        hint: 'An agent that serves other users must run as root or as its systemd unit does, with a short runtime directory.'
      })
    }
    // The listener survives failures to accept, as for lack of descriptors.
    server.on('error', () => {})
    return {
      path,
      exists: () => standsAt(path)?.isSocket() === true,
      close: () => {
        server.close()
        remove(path)
      }
    }
  }
}

function requireOwn(path: string): void {
  const found = lstatSync(path)
  if (found.isDirectory() && found.uid === process.getuid?.()) return
  throw new WarrenError(ErrorCode.StateUnusable, `${path} is not a directory of this user`, { hint: 'Remove it.' })
}

function removeSocket(path: string): void {
  const found = standsAt(path)
  if (found === undefined) return
  if (!found.isSocket()) {
    throw new WarrenError(ErrorCode.StateUnusable, `${path} is ${kindOf(found)}, not a socket of an agent`, {
      hint: 'Remove it if it is not needed.'
    })
  }
  unlinkSync(path)
}

async function listen(server: Server, path: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', reject)
  server.listen({ path, backlog: BACKLOG }, resolve)
  await promise
  server.off('error', reject)
}

/**
 * Gives a socket that this process made to a user, who alone may connect to it. Throws.
 *
 * fchown on the socket's own descriptor succeeds and changes nothing on the path.
 */
export function give(path: string, uid: number): void {
  if (process.platform !== 'linux') {
    chmodSync(path, 0o600)
    if (uid !== process.getuid?.()) chownSync(path, uid, -1)
    return
  }
  const fd = openSync(path, O_PATH | constants.O_NOFOLLOW)
  try {
    chmodSync(`/proc/self/fd/${fd}`, 0o600)
    if (uid !== process.getuid?.()) chownSync(`/proc/self/fd/${fd}`, uid, -1)
  } finally {
    closeSync(fd)
  }
}

function remove(path: string): void {
  try {
    unlinkSync(path)
  } catch {
    // Its owner cannot remove it, but a cleaner of runtime directories may have.
  }
}
