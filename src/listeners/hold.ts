import { closeSync } from 'node:fs'
import { createServer } from 'node:net'
import { datagramDescriptorOf, descriptorOf, type Protocol } from '../core/index.ts'
import { holdUdp } from './datagram/index.ts'
import type { Endpoint } from './endpoint.ts'
import { bindEachFamily, isStaged, listenAt } from './listen-at.ts'
import type { PassedSocket, PassingCalls } from './passing/index.ts'
import { type ListenerSockets, passedSockets } from './sockets.ts'

/** Sockets that are bound, and that nobody takes clients from yet: the kernel keeps these waiting. */
export interface HeldSockets {
  /** Where they are, as a person would type it. */
  readonly bound: string
  /** For `PassingCalls.send`. */
  readonly descriptors: readonly number[]
  /** The same sockets, to listen on them in this process. Call it again after that has ended. */
  readonly sockets: () => ListenerSockets
  /** Frees the port or path, unless another process has them too. */
  readonly close: () => void
}

/**
 * Binds the sockets of a listener and holds them. Undefined if they cannot be passed on: a unix socket for datagrams, or one whose
 * path is too long. Rejects as `listenAt` and `bindUdp`.
 */
export async function holdSockets(
  endpoint: Endpoint,
  protocol: Protocol,
  calls: PassingCalls
): Promise<HeldSockets | undefined> {
  if (endpoint.kind === 'unix') {
    return protocol === 'udp' || !isStaged(endpoint.path) ? undefined : held([await holdStream(endpoint, calls)], calls)
  }
  const { bound, all } = await bindEachFamily(
    endpoint,
    at => (protocol === 'udp' ? holdDatagrams(at, calls) : holdStream({ kind: 'tcp', ...at }, calls)),
    ({ passed }) => closeSync(passed.fd)
  )
  return held(all, calls, bound)
}

interface Held {
  readonly bound: string
  readonly passed: PassedSocket
  readonly remove: () => void
}

async function holdStream(endpoint: Endpoint, calls: PassingCalls): Promise<Held> {
  const server = createServer(client => void client.destroy())
  const { bound, remove } = await listenAt(server, endpoint)
  // No client was accepted yet: the event loop has not looked at the socket.
  try {
    const family = endpoint.kind === 'unix' ? 'unix' : familyOf(bound)
    return { bound, passed: { fd: calls.duplicate(descriptorOf(server)), family }, remove }
  } finally {
    server.close()
  }
}

async function holdDatagrams(at: Parameters<typeof holdUdp>[0], calls: PassingCalls): Promise<Held> {
  const { bound, fd } = await holdUdp(at, socket => calls.duplicate(datagramDescriptorOf(socket)() ?? -1))
  return { bound, passed: { fd, family: familyOf(bound) }, remove: () => {} }
}

function familyOf(bound: string): PassedSocket['family'] {
  return bound.startsWith('[') ? 'IPv6' : 'IPv4'
}

function held(all: readonly [Held, ...Held[]], calls: PassingCalls, bound: string = all[0].bound): HeldSockets {
  return {
    bound,
    descriptors: all.map(({ passed }) => passed.fd),
    sockets: () => passedSockets(all.map(({ passed }) => ({ ...passed, fd: calls.duplicate(passed.fd) }))),
    close() {
      for (const { passed, remove } of all) {
        remove()
        closeSync(passed.fd)
      }
    }
  }
}
