import type { AskPort } from '../attest/index.ts'
import { type Clock, type HostPort, isLocalhost, type Logger, type Protocol, TokenBuckets } from '../core/index.ts'
import { LocalhostServer } from './localhost-server.ts'
import { KernelPortServer, type PortServerOptions } from './port-server.ts'
import type { ServerUser } from './server-user.ts'
import type { PortServer } from './target.ts'

export interface PortServersOptions {
  /** Undefined if the system cannot say who has a port. */
  readonly ask: AskPort | undefined
  readonly log: Logger
  readonly clock: Clock
}

/** The port of a registration. */
export interface PortClaim extends HostPort {
  readonly protocol: Protocol
  readonly serverUser: ServerUser
  readonly uid: number
  readonly spiffeId: string
  readonly registrationId: string
}

/** Log lines about the ports of one user: ten, and one more each ten seconds. */
const LINES = Object.freeze({ burst: 10, perSecond: 0.1, maxKeys: 256 })
/** Time between two log lines about the same port. */
const REPEAT_MS = 60_000

/** Makes the checks of the ports of registrations, and logs refusals. */
export class PortServers {
  readonly #options: PortServersOptions
  readonly #lines = new TokenBuckets<number>(LINES)
  #hasSaid = false

  constructor(options: PortServersOptions) {
    this.#options = options
  }

  /** Undefined if there is nothing to check, or no way. Checks at once, so that root's registrations know their server. */
  for(claim: PortClaim): PortServer | undefined {
    const { ask, log } = this.#options
    const { serverUser, protocol, host, port, uid } = claim
    if (serverUser.kind === 'any') return undefined
    if (ask === undefined) {
      this.#sayOnce()
      return undefined
    }
    const { spiffeId: source, registrationId } = claim
    const onRefused = this.#teller(claim)
    const pin = {}
    const at = (address: string): KernelPortServer =>
      new KernelPortServer({
        protocol,
        host: address,
        port,
        serverUser,
        uid,
        ask,
        pin,
        onRefused,
        onPinned: user => log.info('user of the server at a port noted', { source, registrationId, port, uid: user })
      })
    const server = isLocalhost(host) ? new LocalhostServer(at('127.0.0.1'), at('::1')) : at(host)
    server.look()
    return server
  }

  #teller({ uid, spiffeId: source, registrationId, protocol, port }: PortClaim): PortServerOptions['onRefused'] {
    const { log, clock } = this.#options
    let last = ''
    let lastMs = Number.NEGATIVE_INFINITY
    return (problem, holder) => {
      const now = clock.monotonicMs()
      const fields = {
        source,
        registrationId,
        protocol,
        port,
        reason: problem,
        ...(holder !== undefined && { uid: holder })
      }
      if ((problem === last && now - lastMs < REPEAT_MS) || this.#lines.left(uid, now) < 1) {
        log.debug('port refused', fields)
        return
      }
      last = problem
      lastMs = now
      this.#lines.use(uid, 1, now)
      log.warn('port refused', fields)
    }
  }

  #sayOnce(): void {
    if (this.#hasSaid) return
    this.#hasSaid = true
    this.#options.log.info('this system is not asked who has a port: any user may take that of a server that is down')
  }
}
