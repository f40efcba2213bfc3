import type { MessageStream } from '@libp2p/interface'
import { multiaddrConnectionPair } from '@libp2p/utils'
import { raceAbort } from '../../core/index.ts'
import type { SelfTest } from './self-test.ts'
import type { Muxer, YamuxFactory } from './window-updates.ts'

/**
 * Checks that the other end of a connection is alive with a ping of the multiplexer: one frame in each direction, which every
 * yamux answers automatically. A request on a stream of its own costs ten times as much, mostly to agree on a protocol.
 */
export class Pinger {
  readonly #muxers = new WeakMap<MessageStream, Muxer>()

  /** Registers the multiplexers that `factory` makes. */
  watch(factory: YamuxFactory): YamuxFactory {
    const make = factory.createStreamMuxer.bind(factory)
    const createStreamMuxer = (connection: MessageStream): Muxer => {
      const muxer = make(connection)
      this.#muxers.set(connection, muxer)
      return muxer
    }
    return Object.assign(factory, { createStreamMuxer })
  }

  /** Resolves when the other end of a secured connection has answered. Rejects with the signal's reason. */
  async ping(connection: MessageStream, signal: AbortSignal): Promise<void> {
    const muxer = this.#muxers.get(connection)
    if (muxer === undefined) throw new Error('the connection is not in use yet')
    // Without the signal: yamux forgets a cancelled ping, and closes the connection when the late answer comes.
    const answer = muxer.ping()
    answer.catch(() => {})
    await raceAbort(answer, signal)
  }
}

/** Makes one multiplexer of `factory` ping another in memory. Without pings, a vanished host would never be noticed. */
export function pingTest(factory: YamuxFactory): SelfTest {
  return {
    library: '@libp2p/yamux',
    without: 'nothing',
    isRequired: true,
    run: async signal => {
      const [near, far] = multiaddrConnectionPair()
      try {
        factory.createStreamMuxer(far)
        const muxer = factory.createStreamMuxer(near)
        if (typeof Reflect.get(muxer, 'ping') !== 'function') return 'a multiplexer cannot ping'
        await raceAbort(muxer.ping(), signal)
        return undefined
      } finally {
        near.abort(new Error('tested'))
        far.abort(new Error('tested'))
      }
    }
  }
}
