import { type Clock, ErrorCode, type Logger, WarrenError } from '../../core/index.ts'
import type { PeerKey } from '../../identity/index.ts'
import { TokenBucket, TokenBuckets } from '../token-bucket.ts'
import type { Session } from './session.ts'

const PER_HOST = { perSecond: 1 / 60, burst: 1 }
const IN_ALL = { perSecond: 1 / 3, burst: 20 }
const MAX_HOSTS = 256

/**
 * Says who was not admitted and why, at `warn`: at most once a minute for each host, and for all of them at most 20
 * times at once and then every 3 s. A refused host comes back every few seconds, and a stranger can take a new key each
 * time: neither must be able to fill the log. What is not said at `warn` is said at `debug`.
 */
export class RefusalLog {
  readonly #log: Logger
  readonly #clock: Clock
  readonly #hosts = new TokenBuckets<PeerKey>(PER_HOST, MAX_HOSTS)
  readonly #all: TokenBucket

  constructor(log: Logger, clock: Clock) {
    this.#log = log
    this.#clock = clock
    this.#all = new TokenBucket(IN_ALL, clock.monotonicMs())
  }

  note(session: Session, remote: string, err: unknown): void {
    const now = this.#clock.monotonicMs()
    const say = this.#hosts.take(session.peer, now) && this.#all.take(now) ? this.#log.warn : this.#log.debug
    const reason = err instanceof WarrenError ? err.reason : err instanceof Error ? err.message : String(err)
    const fields = { peer: session.peer, remote, state: session.direction, reason }
    if (err instanceof WarrenError && err.code === ErrorCode.CertificateRefused) {
      say('host not admitted', { ...fields, code: err.code })
    } else if (err instanceof WarrenError && err.code === ErrorCode.Revoked) {
      say('this host was not admitted', { ...fields, code: err.code })
    } else {
      // It hung up, or said nothing in time: most often this is how a host answers that does not admit us.
      say('admission was not completed', fields)
    }
  }
}
