import type { SpiffeSocketHandlers } from '../handlers.ts'
import { type SecretDeps, secretHandlers } from './secrets.ts'
import { spiffeHandlers } from './spiffe.ts'

export interface SpiffeSocketDeps extends SecretDeps {
  /** False once this host can issue no more certificates. */
  readonly isServing: () => boolean
}

/** All handlers of spiffe.sock. */
export function spiffeSocketHandlers(deps: SpiffeSocketDeps): SpiffeSocketHandlers {
  const { isServing, changed } = deps
  return { workloadApi: spiffeHandlers(deps), secrets: secretHandlers(deps), isServing, changed }
}
