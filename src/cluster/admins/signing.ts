import { AsyncLocalStorage } from 'node:async_hooks'
import { ChangeSignal, ErrorCode, raceAbort, WarrenError, within } from '../../core/index.ts'
import { type Context, rawKeyOf, verifySignature } from '../../identity/index.ts'
import type { AdminKey } from '../../policy/index.ts'

/** A key of an admin whose private half is not on this host. */
export interface KeyElsewhere {
  readonly key: AdminKey
  /** Where commands find the private half. This host does nothing with it but show it. */
  readonly uri: string
}

/** What an admin is to sign. */
export interface ToSign {
  readonly context: Context
  readonly content: Uint8Array
  /** The signed set that a set follows. */
  readonly former?: Uint8Array | undefined
}

export interface WantedSignature extends ToSign {
  readonly id: bigint
}

export type SignatureAnswer = { readonly signature: Uint8Array } | { readonly refusal: string }

/** One connection to the admin socket, by the signal that aborts when it closes. */
type Connection = AbortSignal

interface Offer {
  readonly queue: WantedSignature[]
  readonly pending: Map<bigint, PromiseWithResolvers<Uint8Array>>
  readonly news: ChangeSignal
}

/** Connections that offer signatures, at a time. */
const MAX_OFFERS = 32
/** Signatures of one connection that are waited for. */
const MAX_PENDING = 8
/** Time for a person to confirm a signature. Calls may take a minute. */
const SIGN_MS = 50_000

/**
 * Signatures that callers of this host make by a key that only they have.
 *
 * A connection signs for its own calls and for no others: two people who are at work on one host never sign the changes of
 * each other.
 */
export class Signing {
  readonly #calls = new AsyncLocalStorage<Connection>()
  readonly #offers = new Map<Connection, Offer>()
  #lastId = 0n

  /** Runs a call of this connection. What it signs is asked there. */
  within<T>(connection: Connection, run: () => T): T {
    return this.#calls.run(connection, run)
  }

  /** The same for a call that answers with a stream. */
  async *stream<T>(connection: Connection, run: () => AsyncIterable<T>): AsyncGenerator<T> {
    const iterator = this.within(connection, () => run()[Symbol.asyncIterator]())
    try {
      for (;;) {
        const next = await this.within(connection, () => iterator.next())
        if (next.done === true) return
        yield next.value
      }
    } finally {
      await iterator.return?.()
    }
  }

  /** Yields once this connection signs, and then each signature that is wanted. Throws INVALID_ARGUMENT or LIMIT_EXCEEDED. */
  async *offer(connection: Connection, signal: AbortSignal): AsyncGenerator<WantedSignature | undefined> {
    if (this.#offers.has(connection)) {
      throw new WarrenError(ErrorCode.InvalidArgument, 'this connection offers signatures already')
    }
    if (this.#offers.size >= MAX_OFFERS) {
      throw new WarrenError(ErrorCode.LimitExceeded, 'too many commands offer signatures', {
        hint: 'Wait until another command has ended.'
      })
    }
    const offer: Offer = { queue: [], pending: new Map(), news: new ChangeSignal() }
    this.#offers.set(connection, offer)
    try {
      yield undefined
      while (this.#offers.get(connection) === offer) {
        const changed = offer.news.changed()
        const wanted = offer.queue.shift()
        if (wanted !== undefined) yield wanted
        else await raceAbort(changed, signal)
      }
    } finally {
      this.#end(connection, offer)
    }
  }

  /** From now on this connection signs nothing. */
  end(connection: Connection): void {
    const offer = this.#offers.get(connection)
    if (offer !== undefined) this.#end(connection, offer)
  }

  #end(connection: Connection, offer: Offer): void {
    if (this.#offers.get(connection) === offer) this.#offers.delete(connection)
    for (const { reject } of offer.pending.values()) reject(unsigned('the command that signs has ended'))
    offer.news.fire()
  }

  /** Takes a signature, or the reason why there is none. Throws NOT_FOUND. */
  answer(connection: Connection, id: bigint, answer: SignatureAnswer): void {
    const pending = this.#offers.get(connection)?.pending.get(id)
    if (pending === undefined) throw new WarrenError(ErrorCode.NotFound, 'nobody waits for this signature')
    if ('signature' in answer) pending.resolve(answer.signature)
    else pending.reject(unsigned(`it was not signed: ${answer.refusal}`))
  }

  /** Throws SIGNER_NEEDED unless the call of now comes from a connection that signs. */
  requireOffer({ key, uri }: KeyElsewhere): void {
    if (this.#offer() !== undefined) return
    throw new WarrenError(
      ErrorCode.SignerNeeded,
      `this must be signed by ${key}, whose private key is not on this host`,
      {
        hint: `Run the command \`warren\` where ${uri} is.`
      }
    )
  }

  /** Asks the connection of the call of now. Throws SIGNER_NEEDED, SIGNATURE_INVALID, LIMIT_EXCEEDED or TIMEOUT. */
  async sign(by: KeyElsewhere, wanted: ToSign): Promise<Uint8Array> {
    this.requireOffer(by)
    const offer = this.#offer()
    if (offer === undefined || offer.pending.size >= MAX_PENDING) {
      throw new WarrenError(ErrorCode.LimitExceeded, 'too many signatures of this command are waited for')
    }
    this.#lastId += 1n
    const id = this.#lastId
    const pending = Promise.withResolvers<Uint8Array>()
    // It may fail before anybody waits for it.
    pending.promise.catch(() => {})
    offer.pending.set(id, pending)
    offer.queue.push({ ...wanted, id })
    offer.news.fire()
    try {
      const signature = await within(SIGN_MS, [], signal => raceAbort(pending.promise, signal)).catch(orLate)
      if (verifySignature(rawKeyOf(by.key), wanted.context, wanted.content, signature)) return signature
      throw new WarrenError(ErrorCode.SignatureInvalid, `the signature of the command is not one of ${by.key}`, {
        hint: 'The command has signed with another key, or other bytes. `warren admin key` shows the key of this host.'
      })
    } finally {
      offer.pending.delete(id)
    }
  }

  #offer(): Offer | undefined {
    const connection = this.#calls.getStore()
    return connection === undefined ? undefined : this.#offers.get(connection)
  }
}

function orLate(err: unknown): never {
  if (!(err instanceof DOMException && err.name === 'TimeoutError')) throw err
  throw new WarrenError(ErrorCode.Timeout, `nobody has signed this within ${SIGN_MS / 1_000} seconds`, {
    cause: err,
    hint: 'Repeat the command, and confirm the signature: nothing was changed.'
  })
}

function unsigned(reason: string): WarrenError {
  return new WarrenError(ErrorCode.SignerNeeded, reason)
}
