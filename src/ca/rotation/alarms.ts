import type { Clock, Logger } from '../../core/index.ts'
import { type AlarmLevel, alarmLevel, type Life } from './schedule.ts'

export type CertificateKind = 'svid' | 'node' | 'authority' | 'root'

/** A certificate that is in use now. */
export interface InUse extends Life {
  readonly kind: CertificateKind
  /** The owner: a SPIFFE ID, a machine, a trust domain. */
  readonly subject: string
  /** When it is due to be renewed, wall milliseconds; zero if it is never renewed. */
  readonly renewAtMs: number
  /** The reason why it was not renewed though it was due; empty if there is no problem. */
  readonly problem: string
  /** The remedy. */
  readonly hint: string
}

export interface WatchedCertificate extends InUse {
  readonly alarm: AlarmLevel
}

/** An alarm is repeated in the log after this long. */
const REPEAT_MS: Readonly<Record<AlarmLevel, number>> = {
  none: Number.POSITIVE_INFINITY,
  half: 24 * 3_600_000,
  quarter: 3_600_000,
  ended: 600_000
}
const ORDER: readonly AlarmLevel[] = ['none', 'half', 'quarter', 'ended']
/** Half of ten years still leaves five years: that is not an alarm. */
const LEAST: Readonly<Partial<Record<CertificateKind, AlarmLevel>>> = { root: 'quarter' }
/** Each registration of a host has an SVID. */
const MAX_REMEMBERED = 4_096

/**
 * Logs when a certificate in use has half or a quarter of its life left, or none: each once, then again at
 * intervals, and again when the alarm has ended.
 */
export class Alarms {
  readonly #clock: Clock
  readonly #log: Logger
  readonly #said = new Map<string, { readonly level: AlarmLevel; readonly atMs: number }>()
  #current: readonly WatchedCertificate[] = []

  constructor(clock: Clock, log: Logger) {
    this.#clock = clock
    this.#log = log
  }

  /** The result of the last `check`. */
  get current(): readonly WatchedCertificate[] {
    return this.#current
  }

  check(inUse: readonly InUse[]): void {
    const now = this.#clock.wallMs()
    this.#current = inUse.map(certificate => ({ ...certificate, alarm: levelOf(certificate, now) }))
    const keys = new Set<string>()
    for (const certificate of this.#current) {
      const key = `${certificate.kind} ${certificate.subject}`
      keys.add(key)
      this.#tell(key, certificate)
    }
    for (const key of this.#said.keys()) if (!keys.has(key)) this.#said.delete(key)
  }

  #tell(key: string, certificate: WatchedCertificate): void {
    const { kind, subject, alarm, notAfterMs, problem, hint } = certificate
    const said = this.#said.get(key)
    const now = this.#clock.monotonicMs()
    const fields = { component: kind, address: subject, notAfter: new Date(notAfterMs).toISOString(), state: alarm }
    if (alarm === 'none') {
      if (said !== undefined) this.#log.info('certificate alarm has ended', fields)
      this.#said.delete(key)
      return
    }
    if (said?.level === alarm && now - said.atMs < REPEAT_MS[alarm]) return
    if (said === undefined && this.#said.size >= MAX_REMEMBERED) return
    this.#said.set(key, { level: alarm, atMs: now })
    const say = alarm === 'half' ? this.#log.warn : this.#log.error
    const reason = [problem, hint].filter(text => text !== '').join(': ')
    say(TEXTS[alarm], reason === '' ? fields : { ...fields, reason })
  }
}

const TEXTS: Readonly<Record<Exclude<AlarmLevel, 'none'>, string>> = {
  half: 'certificate alarm: half of its life is left, and it was not renewed',
  quarter: 'certificate alarm: a quarter of its life is left',
  ended: 'certificate alarm: it has ended'
}

function levelOf(certificate: InUse, nowMs: number): AlarmLevel {
  const level = alarmLevel(certificate, nowMs)
  const least = LEAST[certificate.kind] ?? 'half'
  return ORDER.indexOf(level) < ORDER.indexOf(least) ? 'none' : level
}
