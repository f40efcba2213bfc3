import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { connect, isIPv6, type LookupFunction, type Socket } from 'node:net'
import {
  ErrorCode,
  isLocalhost,
  LOOPBACK,
  type Protocol,
  raceAbort,
  ShortSignal,
  sleep,
  WarrenError,
  within
} from '../../core/index.ts'
import type { Target } from '../../workloads/index.ts'
import type { SocketCredentials } from '../deps.ts'
import { TARGET_KEEPALIVE_MS, TARGET_TIMEOUT_MS } from '../timing.ts'
import { dialGateway } from './gateway-target.ts'
import { throughPort } from './port-target.ts'
import { checkListener, findTarget } from './unix-target.ts'

/** The only name of a target is `localhost`. */
const bothFamilies: LookupFunction = (_host, _options, done) =>
  done(
    null,
    LOOPBACK.map(address => ({ address, family: isIPv6(address) ? 6 : 4 }))
  )

/** Pause between two attempts at a listener whose queue is full. */
const BUSY_POLL_MS = 20

/**
 * Connects to the server of a local registration. The socket is half-open and paused.
 *
 * A unix socket is looked up in its owner's view, and must be served by the user who registered it; a port must be
 * served by a user who may. Rejects with DESTINATION_UNREACHABLE, or with the signal's reason.
 */
export async function dialTarget(
  target: Exclude<Target, { kind: 'udp' }>,
  credentials: Pick<SocketCredentials, 'listenerOf'>,
  signal: AbortSignal
): Promise<Socket> {
  const dial = async (limit: AbortSignal): Promise<Socket> => {
    for (;;) {
      try {
        if (isGateway(target)) return await dialGateway(target, limit)
        return await throughPort(target, () => dialOnce(target, credentials, limit))
      } catch (err) {
        if (err instanceof WarrenError || signal.aborted) throw err
        // The queue of a unix listener is full: a blocking connect would wait for it, ours is refused at once.
        if (isBusy(err) && !limit.aborted) {
          await sleep(BUSY_POLL_MS, limit).catch(() => {})
          continue
        }
        const what = isGateway(target) ? 'the server behind its gateway' : 'its own socket'
        throw new WarrenError(ErrorCode.DestinationUnreachable, `${what} does not answer (${describe(err)})`, {
          cause: err
        })
      }
    }
  }
  return await within(TARGET_TIMEOUT_MS, [signal], dial, new ShortSignal())
}

function isGateway(target: Target): target is Extract<Target, { kind: 'tcp' }> {
  return target.kind === 'tcp' && target.gateway === true
}

async function dialOnce(
  target: Exclude<Target, { kind: 'udp' }>,
  credentials: Pick<SocketCredentials, 'listenerOf'>,
  signal: AbortSignal
): Promise<Socket> {
  signal.throwIfAborted()
  const found = target.kind === 'unix' ? await findTarget(target, signal) : undefined
  const where =
    target.kind === 'unix'
      ? { path: found?.path ?? '' }
      : // Address translation may lead to a container, which can vanish with its network.
        {
          host: target.server?.host() ?? target.host,
          port: target.port,
          noDelay: true,
          keepAlive: true,
          keepAliveInitialDelay: TARGET_KEEPALIVE_MS
        }
  const socket = connect({ ...where, lookup: bothFamilies, allowHalfOpen: true })
  const connected = Promise.withResolvers<void>()
  socket.once('connect', connected.resolve)
  // The handler stays: until the flow is carried, no other code handles its failure.
  socket.on('error', connected.reject)
  try {
    // The kernel connects to a unix socket, or refuses, at once.
    await (target.kind === 'unix' ? connected.promise : raceAbort(connected.promise, signal))
    signal.throwIfAborted()
    socket.pause()
    if (target.kind === 'unix') checkListener(socket, target, credentials)
    return socket
  } catch (err) {
    connected.promise.catch(() => {})
    socket.destroy()
    throw err
  } finally {
    found?.close()
  }
}

function isBusy(err: unknown): boolean {
  return err instanceof Error && 'code' in err && err.code === 'EAGAIN'
}

/**
 * Opens a UDP socket, for one flow, that is connected to a local server. Only an answer shows that the server exists.
 *
 * Rejects with DESTINATION_UNREACHABLE when no socket can be opened, or with the signal's reason.
 */
export async function openUdp(
  { host: named, port, server }: Extract<Target, { kind: 'udp' }>,
  signal: AbortSignal
): Promise<UdpSocket> {
  signal.throwIfAborted()
  const [first = named] = isLocalhost(named) ? LOOPBACK : [named]
  const host = server?.host() ?? first
  const socket = createSocket(isIPv6(host) ? 'udp6' : 'udp4')
  const connected = Promise.withResolvers<void>()
  // The handler stays: a server that is away causes ECONNREFUSED, any number of times.
  socket.on('error', connected.reject)
  try {
    socket.connect(port, host, (err?: Error) => {
      if (err === undefined) connected.resolve()
      else connected.reject(err)
    })
    await raceAbort(connected.promise, signal)
    return socket
  } catch (err) {
    connected.promise.catch(() => {})
    socket.close()
    if (signal.aborted) throw err
    throw new WarrenError(ErrorCode.DestinationUnreachable, `no socket to its server (${describe(err)})`, {
      cause: err
    })
  }
}

/** The protocol that a target serves. */
export function protocolOf(target: Target): Protocol {
  return target.kind === 'unix' ? target.protocol : target.kind
}

function describe(err: unknown): string {
  if (err instanceof Error && 'code' in err && typeof err.code === 'string') return err.code
  return err instanceof DOMException ? 'no answer in time' : String(err)
}
