import type { GossipSubComponents } from '@libp2p/gossipsub'
import type { Connection, Stream, StreamHandler } from '@libp2p/interface'
import { ErrorCode, type Logger, WarrenError } from '../../core/index.ts'
import { inTurns } from './gossip-source.ts'

type Registrar = GossipSubComponents['registrar']

export interface PacedRegistrarDeps {
  /** Called with the peer whose stream must wait. */
  readonly onFull: (connection: Connection) => void
  readonly log: Logger
}

/**
 * The registrar of libp2p for gossipsub: the data of neighbours reaches it through `inTurns`.
 *
 * Without turns, one neighbour could delay all other work of this host. So `start` refuses a gossipsub that takes its
 * streams in another way, and a stream that it does not read as expected is aborted.
 */
export class PacedRegistrar {
  readonly #deps: PacedRegistrarDeps
  #isUsed = false
  #isStarted = false
  #isWarned = false

  constructor(deps: PacedRegistrarDeps) {
    this.#deps = deps
  }

  /** `registrar`, whose handlers receive paced streams. */
  wrap(registrar: Registrar): Registrar {
    const handle: Registrar['handle'] = async (protocol, handler, options) => {
      this.#isUsed = true
      await registrar.handle(protocol, this.#paced(handler), options)
    }
    return new Proxy(registrar, {
      get: (target, name) => {
        if (name === 'handle') return handle
        const member: unknown = Reflect.get(target, name)
        return typeof member === 'function' ? member.bind(target) : member
      }
    })
  }

  /** Call it once gossipsub has started. Throws UNSUPPORTED if gossipsub did not take its streams from here. */
  start(): void {
    this.#isStarted = true
    if (this.#isUsed) return
    throw new WarrenError(ErrorCode.Unsupported, 'gossipsub does not take its streams from the registrar', {
      hint: 'Install the versions of @libp2p packages that package-lock.json names.'
    })
  }

  /** Call it before gossipsub stops; after that, gossipsub ignores streams. */
  stop(): void {
    this.#isStarted = false
  }

  #paced(handler: StreamHandler): StreamHandler {
    return (stream, connection) => {
      const source = inTurns(stream, () => this.#deps.onFull(connection))
      // gossipsub uses no other members of a neighbour's stream; the checks below detect if that changes.
      const result = handler(source as unknown as Stream, connection)
      setImmediate(() => {
        if (!source.isRead() && stream.status === 'open') this.#refuse(stream)
      })
      return result
    }
  }

  #refuse(stream: Stream): void {
    const reason = 'gossipsub does not read this stream in turns'
    // Until it has started, gossipsub ignores streams; the neighbour opens another when it has lost this one.
    if (this.#isStarted && !this.#isWarned) {
      this.#isWarned = true
      this.#deps.log.warn('a library has changed inside', {
        component: '@libp2p/gossipsub',
        reason: `${reason}; streams of neighbours are refused, and the registry arrives by requests only`
      })
    }
    stream.abort(new WarrenError(ErrorCode.Unsupported, reason))
  }
}
