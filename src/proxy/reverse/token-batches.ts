import { ErrorCode, WarrenError } from '../../core/index.ts'
import type { PeerKey } from '../../identity/index.ts'
import { MAX_TOKENS } from './limits.ts'

interface Asked {
  readonly token: Uint8Array
  readonly resolve: () => void
  readonly reject: (err: unknown) => void
}

/** Sends a request of 1 to 32 tokens, and resolves with how many of the first ones are accepted. */
export type AskForConnections<Key> = (key: Key, tokens: Uint8Array) => Promise<number>

/**
 * Asks each agent, or whatever a key stands for, with one request at a time: tokens that come meanwhile leave together. Many fast-path connections are
 * dialled at once, and an agent answers few requests of one host at a time.
 */
export class TokenBatches<Key extends string = PeerKey> {
  readonly #ask: AskForConnections<Key>
  /** Those that wait, for each agent with a request under way. */
  readonly #waiting = new Map<Key, Asked[]>()

  constructor(ask: AskForConnections<Key>) {
    this.#ask = ask
  }

  /** Resolves when the agent has accepted the token; rejects with its refusal. */
  ask(peer: Key, token: Uint8Array): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const waiting = this.#waiting.get(peer)
    if (waiting === undefined) void this.#run(peer, [{ token, resolve, reject }])
    else waiting.push({ token, resolve, reject })
    return promise
  }

  async #run(peer: Key, queue: Asked[]): Promise<void> {
    this.#waiting.set(peer, queue)
    while (queue.length > 0) await this.#send(peer, queue.splice(0, MAX_TOKENS))
    this.#waiting.delete(peer)
  }

  async #send(peer: Key, batch: readonly Asked[]): Promise<void> {
    try {
      const accepted = await this.#ask(peer, Buffer.concat(batch.map(({ token }) => token)))
      for (const { resolve } of batch.slice(0, accepted)) resolve()
      const refusal = new WarrenError(ErrorCode.LimitExceeded, 'its agent makes no more connections for this host now')
      for (const { reject } of batch.slice(accepted)) reject(refusal)
    } catch (err) {
      for (const { reject } of batch) reject(err)
    }
  }
}
