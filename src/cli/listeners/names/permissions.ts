import { ErrorCode, LruMap, Quota, WarrenError, within } from '../../../core/index.ts'

/** Failures that are a decision, and no matter of who answers at this moment. */
const REFUSALS: ReadonlySet<string> = new Set([
  ErrorCode.Unauthorized,
  ErrorCode.PermissionDenied,
  ErrorCode.InvalidArgument
])
const MAX_KNOWN = 1_024
/** Checks at once. Beyond it a name is answered unchecked: the connection is checked in any case. */
const MAX_CHECKS = 64
/** How long an answer of DNS waits for the other end, in milliseconds. */
const CHECK_MS = 1_000
const ALLOWED_FRESH_MS = 5_000
const REFUSED_FRESH_MS = 1_000

type Check = (destination: string, source: string, signal: AbortSignal) => Promise<void>

interface Known {
  readonly refusal: Promise<WarrenError | undefined>
  untilMs: number
}

/** Whether a connection would be refused, as the agents at both ends say; asked once for each pair of ends in some seconds. */
export class Permissions {
  readonly #check: Check
  readonly #known = new LruMap<string, Known>(MAX_KNOWN)
  readonly #checks = new Quota<string>(1, MAX_CHECKS)

  /** `check` rejects with the reason why it would be. */
  constructor(check: Check) {
    this.#check = check
  }

  /** The refusal of a connection from `source` to `destination`; undefined if it is allowed, or nobody said in time. Never rejects. */
  async objectionTo(destination: string, source: string): Promise<WarrenError | undefined> {
    const ends = `${source} ${destination}`
    const known = this.#known.get(ends)
    if (known !== undefined && performance.now() < known.untilMs) return await known.refusal
    const release = this.#checks.take(ends)
    if (release === undefined) return undefined
    const refusal = this.#ask(destination, source).finally(release)
    const asked: Known = { refusal, untilMs: performance.now() + CHECK_MS }
    this.#known.set(ends, asked)
    const found = await refusal
    asked.untilMs = performance.now() + (found === undefined ? ALLOWED_FRESH_MS : REFUSED_FRESH_MS)
    return found
  }

  async #ask(destination: string, source: string): Promise<WarrenError | undefined> {
    try {
      await within(CHECK_MS, [], limit => this.#check(destination, source, limit))
    } catch (err) {
      if (err instanceof WarrenError && REFUSALS.has(err.code)) return err
    }
    return undefined
  }
}
