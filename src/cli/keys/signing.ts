import { AgentClient, type AgentClientOptions, type CallOptions, type Calls } from '../../client/index.ts'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import { adminPb } from '../../wire/index.ts'
import { printable } from '../output/index.ts'
import { type KeySource, openKey } from './key-source.ts'
import { statementIn } from './statement.ts'

type AdminCalls = Calls<typeof adminPb.AdminService>
type Unary = (request: unknown, options?: CallOptions) => Promise<unknown>
type Stream = (request: unknown, options?: CallOptions) => AsyncIterable<unknown>

/** The client of commands: it signs what its calls state if the key of the admin is with the person, and not with the agent. */
export class SigningClient extends AgentClient {
  declare readonly admin: AdminCalls

  /** `tell` shows a person what is signed. */
  constructor(options: AgentClientOptions, tell: (text: string) => void) {
    super(options)
    this.admin = signing(this.admin, tell)
  }
}

/** Calls that are made once more, with signatures, where the agent lacks one. */
function signing(admin: AdminCalls, tell: (text: string) => void): AdminCalls {
  const unary = (call: Unary): Unary => {
    return async (request, options) => {
      try {
        return await call(request, options)
      } catch (err) {
        if (!WarrenError.is(err, ErrorCode.SignerNeeded)) throw err
      }
      const offer = await offerSignatures(admin, tell)
      try {
        return await Promise.race([call(request, options), offer.failed])
      } finally {
        await offer.close()
      }
    }
  }
  const stream = (call: Stream): Stream => {
    return async function* (request, options) {
      let isBegun = false
      try {
        for await (const answer of call(request, options)) {
          isBegun = true
          yield answer
        }
        return
      } catch (err) {
        if (isBegun || !WarrenError.is(err, ErrorCode.SignerNeeded)) throw err
      }
      const offer = await offerSignatures(admin, tell)
      try {
        const answers = call(request, options)[Symbol.asyncIterator]()
        for (;;) {
          const next = await Promise.race([answers.next(), offer.failed])
          if (next.done === true) return
          yield next.value
        }
      } finally {
        await offer.close()
      }
    }
  }
  const calls = adminPb.AdminService.methods.map(({ localName, methodKind }) => {
    const call = admin[localName as keyof AdminCalls]
    return [localName, methodKind === 'unary' ? unary(call as Unary) : stream(call as Stream)]
  })
  return Object.freeze(Object.fromEntries(calls)) as AdminCalls
}

interface Offer {
  /** Rejects when something is not signed. */
  readonly failed: Promise<never>
  readonly close: () => Promise<void>
}

async function offerSignatures(admin: AdminCalls, tell: (text: string) => void): Promise<Offer> {
  const left = new AbortController()
  const wanted = admin.offerSignatures({}, { signal: left.signal })[Symbol.asyncIterator]()
  try {
    const first = await wanted.next()
    if (first.done === true) throw new WarrenError(ErrorCode.AgentNotRunning, 'the agent has ended')
    const source = await openKey(first.value.uri, first.value.key)
    const failed = Promise.withResolvers<never>()
    // Nobody may wait for it any more.
    failed.promise.catch(() => {})
    signAll(admin, wanted, source, tell).catch((err: unknown) => {
      if (!left.signal.aborted) failed.reject(err)
    })
    const close = async (): Promise<void> => {
      // Heard by the agent before the next call begins.
      await admin.answerSignature({ end: true }).catch(() => {})
      left.abort()
    }
    return { failed: failed.promise, close }
  } catch (err) {
    left.abort()
    throw err
  }
}

async function signAll(
  admin: AdminCalls,
  offers: AsyncIterator<adminPb.OfferSignaturesResponse>,
  source: KeySource,
  tell: (text: string) => void
): Promise<void> {
  for (;;) {
    const next = await offers.next()
    if (next.done === true) return
    const { wanted } = next.value
    if (wanted === undefined) continue
    const { id } = wanted
    try {
      const { bytes, lines } = await statementIn(wanted, source.key)
      for (const line of [`signing with ${source.uri}`, ...lines]) tell(printable(line))
      await admin.answerSignature({ id, signature: await source.sign(bytes) })
    } catch (err) {
      // Not waited for: the error here says more than the one that the agent answers then.
      admin.answerSignature({ id, refusal: WarrenError.from(err).reason }).catch(() => {})
      throw err
    }
  }
}
