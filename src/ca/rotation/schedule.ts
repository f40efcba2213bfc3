/** From when to when a certificate counts, wall milliseconds. `issuedAtMs` is when it was made, not what it is backdated to. */
export interface Life {
  readonly issuedAtMs: number
  readonly notAfterMs: number
}

/** What is wrong with the age of a certificate in use. */
export type AlarmLevel = 'none' | 'half' | 'quarter' | 'ended'

/** The share of its life at which a certificate is renewed, and how much earlier it may be, so that hosts do not act in step. */
const RENEW_SHARE = 0.48
const JITTER_SHARE = 0.08

/**
 * When a certificate is to be renewed: a little before half of its life, so that what is left of it at half is a sign that
 * renewing fails. `spread` is 0 to 1 and should stay the same for one certificate.
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

/** How long to wait after so many renewals failed in a row: doubled each time, up to a fortieth of the life, within 1 s and 5 min. */
export function retryAfterMs({ issuedAtMs, notAfterMs }: Life, failures: number): number {
  const most = Math.max(1_000, Math.min(300_000, (notAfterMs - issuedAtMs) / 40))
  return Math.min(most, 500 * 2 ** Math.min(failures, 12))
}

/** A number of 0 to 1 that is the same for the same certificate, after a restart too. */
export function spreadOf(certificateSha256: string): number {
  return Number.parseInt(certificateSha256.slice(0, 8), 16) / 0xffff_ffff
}
