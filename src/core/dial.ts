import { lookup } from 'node:dns/promises'
import { connect, isIP, type Socket, type TcpNetConnectOpts } from 'node:net'
import { raceStaggered } from './race.ts'
import { raceAbort } from './signals.ts'

/** Interval between the starts of attempts at two addresses of one host, in milliseconds. RFC 8305 recommends 250. */
export const DIAL_STAGGER_MS = 250
/** Addresses of one name that are tried. */
const MAX_RESOLVED = 8

/**
 * The IP addresses of a name, the two families in turns, as RFC 8305 orders them; at most eight. An IP address stands for itself,
 * and `localhost` for the loopback addresses of both families, whatever the files of the host say.
 *
 * Rejects with the error of the system's resolver, or with the signal's reason.
 */
export async function resolveHost(host: string, signal: AbortSignal): Promise<readonly string[]> {
  if (isIP(host) !== 0) return [host]
  if (isLocalhost(host)) return LOOPBACK
  // Asked each time: the address of a name may change while this process runs.
  const found = await raceAbort(lookup(host, { all: true, order: 'verbatim' }), signal)
  return inTurns(found.map(({ address }) => address)).slice(0, MAX_RESOLVED)
}

/** Both addresses of `localhost`, the one of IPv4 first. */
export const LOOPBACK: readonly string[] = Object.freeze(['127.0.0.1', '::1'])

/** Whether a host is `localhost`, in whatever letters. */
export function isLocalhost(host: string): boolean {
  return host.toLowerCase() === 'localhost'
}

function inTurns(addresses: readonly string[]): string[] {
  const first = isIP(addresses[0] ?? '')
  const one = addresses.filter(address => isIP(address) === first)
  const other = addresses.filter(address => isIP(address) !== first)
  const turns = Array.from({ length: Math.max(one.length, other.length) }, (_, at) => [one[at], other[at]])
  return [...new Set(turns.flat().filter(address => address !== undefined))]
}

/**
 * Connects by TCP to the first address of a host that answers: each attempt begins 250 ms after the one before, or as soon as
 * that has failed. Rejects with the last failure, or with the signal's reason.
 */
export async function connectTcp(
  options: TcpNetConnectOpts & { readonly host: string },
  signal: AbortSignal
): Promise<Socket> {
  const { family = 0 } = options
  const addresses = (await resolveHost(options.host, signal)).filter(one => family === 0 || isIP(one) === family)
  const attempts = addresses.map(host => (limit: AbortSignal) => connectOne({ ...options, host }, limit))
  return await raceStaggered(attempts, DIAL_STAGGER_MS, signal, late => late.destroy())
}

async function connectOne(options: TcpNetConnectOpts, signal: AbortSignal): Promise<Socket> {
  signal.throwIfAborted()
  const socket = connect(options)
  const connected = Promise.withResolvers<void>()
  socket.once('connect', connected.resolve).once('error', connected.reject)
  try {
    await raceAbort(connected.promise, signal)
  } catch (err) {
    socket.on('error', () => {})
    socket.destroy()
    throw err
  }
  socket.off('error', connected.reject)
  return socket
}
