import type { Lifetimes } from '../config/index.ts'
import { definedOnly, ErrorCode, WarrenError } from '../core/index.ts'

export type { Lifetimes }

const SECOND = 1_000
const HOUR = 3_600 * SECOND
const DAY = 24 * HOUR

export const DEFAULT_LIFETIMES: Lifetimes = Object.freeze({
  svidMs: HOUR,
  nodeMs: 30 * DAY,
  authorityMs: 90 * DAY,
  jwtKeyMs: 7 * DAY,
  graceMs: 14 * DAY
})

const BOUNDS: Readonly<
  Record<keyof Lifetimes, { readonly option: string; readonly min: number; readonly max: number }>
> = {
  svidMs: { option: '--svid-lifetime', min: 5 * SECOND, max: DAY },
  nodeMs: { option: '--node-lifetime', min: 10 * SECOND, max: 90 * DAY },
  authorityMs: { option: '--authority-lifetime', min: 20 * SECOND, max: 400 * DAY },
  jwtKeyMs: { option: '--jwt-key-lifetime', min: 10 * SECOND, max: 90 * DAY },
  graceMs: { option: '--renewal-grace', min: 0, max: 90 * DAY }
}

/** A JWT-SVID cannot be revoked, so it is short, and even shorter with a short-lived key. */
const MAX_JWT_MS = 300 * SECOND

/** `lifetimes` over the defaults. Throws INVALID_OPTION, which names the option and its limits. */
export function resolveLifetimes(lifetimes: Partial<Lifetimes> = {}): Lifetimes {
  const resolved: Lifetimes = Object.freeze({ ...DEFAULT_LIFETIMES, ...definedOnly(lifetimes) })
  for (const name of Object.keys(BOUNDS) as (keyof Lifetimes)[]) {
    const { option, min, max } = BOUNDS[name]
    const ms = resolved[name]
    if (Number.isSafeInteger(ms) && ms >= min && ms <= max) continue
    throw new WarrenError(ErrorCode.InvalidOption, `${option} is out of range`, {
      hint: `Give ${min / SECOND} to ${max / SECOND} seconds.`
    })
  }
  // Each is renewed at half of its life; so a certificate below another one never expires early because of that one.
  requireHalf('svidMs', 'nodeMs', resolved)
  requireHalf('nodeMs', 'authorityMs', resolved)
  return resolved
}

/** Lifetime of a JWT-SVID: the life of its key is at least twice as long. */
export function jwtLifetimeMs({ jwtKeyMs }: Lifetimes): number {
  return Math.min(MAX_JWT_MS, Math.floor(jwtKeyMs / 2 / SECOND) * SECOND)
}

function requireHalf(lower: keyof Lifetimes, upper: keyof Lifetimes, lifetimes: Lifetimes): void {
  if (2 * lifetimes[lower] <= lifetimes[upper]) return
  throw new WarrenError(
    ErrorCode.InvalidOption,
    `${BOUNDS[lower].option} is more than half of ${BOUNDS[upper].option}`,
    { hint: 'The certificate of the signer must live at least twice as long.' }
  )
}
