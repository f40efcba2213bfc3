/** The validity of a certificate, wall milliseconds. `issuedAtMs` is when it was made, not the backdated start. */
export interface Life {
  readonly issuedAtMs: number
  readonly notAfterMs: number
}

/** The problem with the age of a certificate in use. */
export type AlarmLevel = 'none' | 'half' | 'quarter' | 'ended'

/** The share of its life at which a certificate is renewed, and how much earlier it may be, so that hosts do not act in step. */
const RENEW_SHARE = 0.48
const JITTER_SHARE = 0.08

/**
 * When to renew a certificate: a little before half of its life, so that less than half left shows that
 * renewals fail. `spread` is 0 to 1 and should stay the same for one certificate.
 */
export function renewAtMs({ issuedAtMs, notAfterMs }: Life, spread: number): number {
  return issuedAtMs + (notAfterMs - issuedAtMs) * (RENEW_SHARE - JITTER_SHARE * spread)
}

/** The share of its life that a certificate has left, 0 to 1. */
export function shareLeft({ issuedAtMs, notAfterMs }: Life, nowMs: number): number {
  if (nowMs >= notAfterMs) return 0
  return Math.min(1, (notAfterMs - nowMs) / Math.max(1, notAfterMs - issuedAtMs))
}

export function alarmLevel(life: Life, nowMs: number): AlarmLevel {
  const left = shareLeft(life, nowMs)
  if (left === 0) return 'ended'
  if (left <= 0.25) return 'quarter'
  return left <= 0.5 ? 'half' : 'none'
}

/** How long to wait after this many failed renewals in a row: doubled each time, at most a fortieth of the life, 1 s to 5 min. */
export function retryAfterMs({ issuedAtMs, notAfterMs }: Life, failures: number): number {
  const most = Math.max(1_000, Math.min(300_000, (notAfterMs - issuedAtMs) / 40))
  return Math.min(most, 500 * 2 ** Math.min(failures, 12))
}

/** A number of 0 to 1 that is the same for the same certificate, after a restart too. */
export function spreadOf(certificateSha256: string): number {
  return Number.parseInt(certificateSha256.slice(0, 8), 16) / 0xffff_ffff
}
