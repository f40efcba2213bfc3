import { type Clock, ErrorCode, type Logger, RateLimitedLog, WarrenError } from '../../core/index.ts'
import type { Session } from './session.ts'

// A refused host comes back every few seconds, and a stranger can take a new key each time: neither may fill the log.
const PER_HOST = { perSecond: 1 / 60, burst: 1, maxKeys: 256 }
const IN_ALL = { perSecond: 1 / 3, burst: 20 }

/** Logs each host that was not admitted, and why: once a minute per host; for all hosts 20 at once, then one every 3 s. */
export class AdmissionLog {
  readonly #log: RateLimitedLog

  constructor(log: Logger, clock: Clock) {
    this.#log = new RateLimitedLog(log, clock, { perKey: PER_HOST, all: IN_ALL })
  }

  note({ peer, direction }: Session, remote: string, err: unknown): void {
    const reason = err instanceof WarrenError ? err.reason : err instanceof Error ? err.message : String(err)
    const code = err instanceof WarrenError ? err.code : undefined
    const fields = { peer, remote, state: direction, reason }
    if (code === ErrorCode.CertificateRefused) {
      this.#log.warn(peer, 'host not admitted', { ...fields, code })
    } else if (code === ErrorCode.Revoked) {
      this.#log.warn(peer, 'this host was not admitted', { ...fields, code })
    } else {
      // It closed, or sent nothing in time: a host that does not admit us usually answers like this.
      this.#log.warn(peer, 'admission was not completed', fields)
    }
  }
}
