import type { DgramSocket } from 'node-unix-socket'
import { ErrorCode, fileFault, identityOf, occupySocketPath, removeIfSame, WarrenError } from '../../core/index.ts'
import { type LocalDatagrams, MAX_BACKLOG_BYTES } from './local.ts'

export interface BindUnixOptions {
  /** Mode of the path, which decides who may send to it. @default 0o600 */
  readonly mode?: number
  readonly onFailure: (err: unknown) => void
}

/**
 * A unix socket of kind SOCK_DGRAM at `path`, which replaces one that nobody serves any more and nothing else.
 *
 * The kernel tells who sent a datagram only by the path that the sender bound; to one that bound none, nothing can be
 * answered. Rejects with UNSUPPORTED where the system has no such sockets for us, and as `occupySocketPath`.
 */
export async function bindUnix(path: string, { mode = 0o600, onFailure }: BindUnixOptions): Promise<LocalDatagrams> {
  const { DgramSocket } = await load()
  const isServed = async (at: string): Promise<boolean> => {
    const probe = new DgramSocket()
    try {
      return !(await isStale(probe, at))
    } finally {
      probe.close()
    }
  }
  return await occupySocketPath(path, isServed, async () => {
    const socket = new DgramSocket()
    try {
      bindWithMode(socket, path, mode)
    } catch (cause) {
      socket.close()
      throw failure(path, cause)
    }
    return wrap(socket, path, onFailure)
  })
}

function wrap(socket: DgramSocket, path: string, onFailure: (err: unknown) => void): LocalDatagrams {
  const identity = identityOf(path)
  let waitingBytes = 0
  let closed = false
  // The package has closed the socket by then.
  socket.on('error', (err: unknown) => {
    closed = true
    onFailure(err)
  })
  return {
    bound: `unix:${path}`,
    onDatagram(listener) {
      const received: Array<readonly [payload: Buffer, from: string]> = []
      const handOn = (): void => {
        for (const [payload, from] of received.splice(0)) listener(payload, from)
      }
      // The package calls us from native code outside of any turn of the event loop and then relies on `process.nextTick`, which
      // nothing runs until the next turn: its own `data` came up to seconds late, or never. An immediate makes that turn.
      socket.on('_data', (payload: Buffer, from: string) => {
        if (received.push([payload, from]) === 1) setImmediate(handOn)
      })
    },
    send(payload, to) {
      if (closed || to === '' || waitingBytes > MAX_BACKLOG_BYTES) return false
      waitingBytes += payload.length
      socket.sendTo(payload, 0, payload.length, to, () => {
        waitingBytes -= payload.length
      })
      return true
    },
    // Its senders wait.
    lost: () => 0,
    close() {
      if (closed) return
      closed = true
      // While the socket is there: after it, its inode may be that of another's.
      removeIfSame(path, identity)
      socket.close()
    }
  }
}

// It is created with its mode; before a later chmod, others could use it.
function bindWithMode(socket: DgramSocket, path: string, mode: number): void {
  const umask = process.umask(0o777 & ~mode)
  try {
    socket.bind(path)
  } finally {
    process.umask(umask)
  }
}

// An empty datagram shows it: a socket that no process holds any more refuses it.
async function isStale(socket: DgramSocket, path: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  socket.sendTo(Buffer.alloc(0), 0, 0, path, err => resolve(/refused/i.test(err?.message ?? '')))
  return await promise
}

// Its native code does not exist for every system, and few commands need it.
async function load(): Promise<{ readonly DgramSocket: new () => DgramSocket }> {
  try {
    return await import('node-unix-socket')
  } catch (cause) {
    throw new WarrenError(ErrorCode.Unsupported, 'unix sockets for datagrams do not work on this system', {
      hint: 'Use a UDP port of the loopback interface.',
      cause
    })
  }
}

const CODES: ReadonlyArray<readonly [code: string, words: RegExp]> = [
  ['EROFS', /read-only/i],
  ['EACCES', /permission denied|not permitted/i],
  ['ENOENT', /no such file/i],
  ['ENOSPC', /no space/i],
  ['EMFILE', /too many open/i]
]

function failure(path: string, cause: unknown): WarrenError {
  const text = cause instanceof Error ? cause.message : String(cause)
  if (/in use/i.test(text)) return new WarrenError(ErrorCode.PortInUse, `another program serves ${path}`, { cause })
  // The library gives the words of the system without its code.
  const code = CODES.find(([, words]) => words.test(text))?.[0]
  const { why, hint } = fileFault(path, code === undefined ? cause : Object.assign(new Error(text), { code }))
  return new WarrenError(ErrorCode.InvalidArgument, `cannot make the socket ${path}: ${why}`, { hint, cause })
}
