import { Agent, type AgentOptions, type ClientRequestArgs } from 'node:http'
import type { Duplex } from 'node:stream'
import { ErrorCode, WarrenError } from '../core/index.ts'
import { type ConnectOptions, connect } from './connect.ts'

/**
 * An `http.Agent` whose connections use the mesh: the host of a request is the destination, its port is ignored.
 *
 *     http.get({ host: 'dev.web.nginx.default', path: '/', agent: new MeshHttpAgent({ as: 'dev.shop.cart.default' }) })
 *
 * Give the host as an option: a URL changes it to lower case, and addresses are case-sensitive.
 */
export class MeshHttpAgent extends Agent {
  readonly #connectOptions: ConnectOptions

  constructor(connectOptions: ConnectOptions = {}, agentOptions: AgentOptions = {}) {
    super(agentOptions)
    this.#connectOptions = connectOptions
  }

  override createConnection(
    options: ClientRequestArgs,
    callback?: (err: Error | null, stream: Duplex) => void
  ): Duplex | null | undefined {
    // The callback of a failure takes no stream, which its type does not show.
    const done = callback as ((err: Error | null, stream?: Duplex) => void) | undefined
    connect(options.host ?? '', this.#connectOptions).then(
      socket => {
        // HTTP does not use half-open connections, and its client would leave this one half-open.
        socket.allowHalfOpen = false
        done?.(null, socket)
      },
      (err: unknown) => done?.(err instanceof Error ? err : new WarrenError(ErrorCode.CannotConnect, String(err)))
    )
    return undefined
  }
}
