import type { Name } from './network.ts'
import type { Protocol } from './numbers.ts'

/** Source and destination, and the carriers that the flows between them are to have. */
export interface Route {
  readonly from: Name
  readonly to: Name
  readonly tcp: readonly string[]
  readonly udp: readonly string[]
}

/** A route for each way that bytes can take. */
export const ROUTES: readonly Route[] = [
  { from: 'near', to: 'near', tcp: ['local'], udp: ['local'] },
  { from: 'near', to: 'hub', tcp: ['direct', 'fastpath'], udp: ['direct', 'udp'] },
  { from: 'home', to: 'far', tcp: ['direct', 'fastpath'], udp: ['direct', 'udp'] },
  { from: 'near', to: 'home', tcp: ['reverse', 'reverse fastpath'], udp: ['reverse'] },
  { from: 'near', to: 'far', tcp: ['relay'], udp: ['relay'] }
]

/** The address of a server. */
export function addressOf(name: Name, protocol: Protocol): string {
  return `soak.echo.${name}-${protocol}.default`
}
