import type { Socket as UdpSocket } from 'node:dgram'
import type { HostPort } from '../../core/index.ts'
import type { PassedSocket } from '../passing/index.ts'
import type { LocalDatagrams } from './local.ts'

export { DropReport } from './drops.ts'
export {
  type ClientLife,
  type DatagramFlow,
  DatagramForwarder,
  type DatagramForwarderOptions,
  MAX_CLIENTS
} from './forwarder.ts'
export type { LocalDatagrams } from './local.ts'
export { placeOf } from './places.ts'
export { type BindUnixOptions, bindUnix } from './unix.ts'

/**
 * A local UDP port, at both families for `localhost`. `onFailure` receives the errors of the network about single datagrams.
 * Rejects as `listenAt`.
 */
export async function bindUdp(at: HostPort, onFailure: (err: unknown) => void): Promise<LocalDatagrams> {
  // With native code, which others must not pay for.
  return await (await import('./udp.ts')).bindUdp(at, onFailure)
}

/** The same for sockets that are bound already, of which there is one or one for each family. It closes their descriptors. */
export async function adoptUdp(
  passed: readonly PassedSocket[],
  onFailure: (err: unknown) => void
): Promise<LocalDatagrams> {
  return await (await import('./udp.ts')).adoptUdp(passed, onFailure)
}

/** Binds a UDP port, at which datagrams wait until it is adopted. `keep` makes the descriptor; its caller closes it. */
export async function holdUdp(
  at: HostPort,
  keep: (socket: UdpSocket) => number
): Promise<{ readonly bound: string; readonly fd: number }> {
  return await (await import('./udp.ts')).holdUdp(at, keep)
}
