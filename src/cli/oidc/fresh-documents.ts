import { ErrorCode, WarrenError, within } from '../../core/index.ts'
import { type Documents, documentsOf, type TokenKeys } from './documents.ts'

export interface FreshDocumentsOptions {
  /** Asks the agent. */
  readonly ask: (signal: AbortSignal) => Promise<TokenKeys>
  /** Hosts whose keys are shown. Empty: all. */
  readonly machines: ReadonlySet<string>
  readonly nowMs: () => number
  /** Called when the agent does not answer, or has no issuer any more. */
  readonly onFailure: (err: unknown) => void
}

/** Questions of others cost the agent one in this time, in milliseconds. */
const FRESH_MS = 1_000
/** A token lives so long: keys that the agent cannot confirm for longer are not shown. */
const MAX_STALE_MS = 300_000
const ASK_MS = 5_000
const PATIENCE_MS = 300

/** The documents as of a second ago or, while the agent is away, as of five minutes ago at most. */
export class FreshDocuments {
  readonly #options: FreshDocumentsOptions
  #known: { readonly documents: Documents; readonly atMs: number } | undefined
  #askedMs = Number.NEGATIVE_INFINITY
  #pending: Promise<void> | undefined

  constructor(options: FreshDocumentsOptions) {
    this.#options = options
  }

  /** Undefined if nobody knows the keys now. Never rejects. */
  async get(): Promise<Documents | undefined> {
    const { nowMs } = this.#options
    if (nowMs() - this.#askedMs >= FRESH_MS) {
      this.#pending ??= this.#ask().finally(() => {
        this.#pending = undefined
      })
    }
    // An agent that hangs keeps nobody from the keys of a moment ago.
    const patience =
      this.#current() === undefined ? [] : [new Promise(resolve => setTimeout(resolve, PATIENCE_MS).unref())]
    await Promise.race([this.#pending, ...patience])
    return this.#current()
  }

  #current(): Documents | undefined {
    const known = this.#known
    return known !== undefined && this.#options.nowMs() - known.atMs < MAX_STALE_MS ? known.documents : undefined
  }

  async #ask(): Promise<void> {
    const { ask, machines, nowMs, onFailure } = this.#options
    try {
      const keys = requireIssuer(await within(ASK_MS, [], limit => ask(limit)))
      this.#known = { documents: documentsOf(keys, machines), atMs: nowMs() }
    } catch (err) {
      onFailure(err)
    }
    this.#askedMs = nowMs()
  }
}

/** Throws UNSUPPORTED for an agent whose tokens have no issuer. */
export function requireIssuer(keys: TokenKeys): TokenKeys {
  if (keys.issuer !== '') return keys
  throw new WarrenError(ErrorCode.Unsupported, 'the JWT-SVIDs of this host have no issuer', {
    hint: 'Start each agent with the address of this provider: warren up --jwt-issuer https://oidc.example.org'
  })
}
