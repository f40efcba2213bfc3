import type { HostPort } from '../../core/index.ts'
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
export { type BindUnixOptions, bindUnix } from './unix.ts'

/**
 * A local UDP port, at both families for `localhost`. `onFailure` receives the errors of the network about single datagrams.
 * Rejects as `listenAt`.
 */
export async function bindUdp(at: HostPort, onFailure: (err: unknown) => void): Promise<LocalDatagrams> {
  // With native code, which others must not pay for.
  return await (await import('./udp.ts')).bindUdp(at, onFailure)
}
