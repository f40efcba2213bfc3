import type { HostPort } from '../../core/index.ts'
import type { DnsServerOptions } from './server.ts'

export { type DnsAnswer, type DnsQuestion, type DnsRecord, ExtendedError, Rcode, txtStrings } from './answer.ts'
export type { DnsServerOptions } from './server.ts'

export interface Dns {
  /** Where it listens, as a person would type it. */
  readonly bound: string
  readonly close: () => void
}

/** Answers queries by UDP and TCP at a literal loopback address. Rejects as `listenAt`. */
export async function serveDns(at: HostPort, options: DnsServerOptions): Promise<Dns> {
  // With the library of the format, which others must not pay for.
  const { DnsServer } = await import('./server.ts')
  const server = new DnsServer(options)
  const bound = await server.listen(at)
  return { bound, close: () => server.close() }
}
