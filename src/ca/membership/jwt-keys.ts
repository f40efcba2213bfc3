import { createPublicKey, type KeyObject } from 'node:crypto'
import { z } from 'zod'
import { lazy } from '../../core/index.ts'
import { generateSigningKeyPair, keyFromPem, keyToPem } from '../../identity/index.ts'
import { damaged, type Vault, VaultFile } from '../../state/index.ts'
import { jwtLifetimeMs, type Lifetimes } from '../lifetimes.ts'
import { readKey } from './credentials.ts'

const schema = lazy(() =>
  z.strictObject({
    current: z.strictObject({ pem: z.string(), sinceMs: z.number() }),
    next: z.strictObject({ pem: z.string(), madeAtMs: z.number() }).optional(),
    retired: z.array(z.strictObject({ spki: z.string(), untilMs: z.number() })).max(8)
  })
)
type State = z.infer<ReturnType<typeof schema>>

/** The next key is published this long before it signs, so that validators know it already. */
const LEAD_MS = 60_000
/** The clocks of validators may be behind by this much. */
const SKEW_MS = 60_000
/** Together with the current and the next key, the most that a head may announce. */
const MAX_RETIRED = 2

/** The public half of a key, as a head announces it: SubjectPublicKeyInfo, DER, in base64. */
export function announcedKey(key: KeyObject): string {
  return createPublicKey(key).export({ format: 'der', type: 'spki' }).toString('base64')
}

/**
 * The keys with which this host signs JWT-SVIDs.
 *
 * Each is published a while before it signs, and until the last token that it signed has expired. All of it is on disk before it
 * is used.
 */
export class JwtKeys {
  readonly #vault: Vault
  readonly #lifetimes: Lifetimes
  readonly #startMs: number
  #state: State
  #signing: KeyObject

  /** Reads the keys, or makes them. Throws STATE_UNUSABLE. */
  constructor(vault: Vault, lifetimes: Lifetimes, nowMs: number) {
    this.#vault = vault
    this.#lifetimes = lifetimes
    this.#startMs = nowMs
    this.#state = read(vault) ?? adopt(vault, nowMs)
    this.#signing = keyFromPem(this.#state.current.pem)
  }

  /** The key that signs now. */
  get signing(): KeyObject {
    return this.#signing
  }

  /** Lifetime of a token, in milliseconds. */
  get tokenMs(): number {
    return jwtLifetimeMs(this.#lifetimes)
  }

  /** The period in which the current key signs. */
  get current(): { readonly issuedAtMs: number; readonly notAfterMs: number } {
    const { sinceMs } = this.#state.current
    return { issuedAtMs: sinceMs, notAfterMs: sinceMs + this.#lifetimes.jwtKeyMs }
  }

  /** The public keys that validators need for the valid tokens of this host and for the next ones. At most 4. */
  published(): string[] {
    const { next, retired } = this.#state
    const coming = next === undefined ? [] : [announcedKey(keyFromPem(next.pem))]
    return [announcedKey(this.#signing), ...coming, ...retired.map(({ spki }) => spki)]
  }

  /** Does the work that is due; returns whether the published keys have changed. Call it at intervals. */
  rotate(nowMs: number): boolean {
    const { current, next, retired } = this.#state
    const leadMs = Math.min(LEAD_MS, this.#lifetimes.jwtKeyMs / 4)
    const living = retired.filter(({ untilMs }) => untilMs > nowMs)
    if (next === undefined) {
      if (nowMs >= current.sinceMs + this.#lifetimes.jwtKeyMs - leadMs) {
        this.#save({ current, next: { pem: keyToPem(generateSigningKeyPair()), madeAtMs: nowMs }, retired: living })
        return true
      }
    } else if (nowMs >= Math.max(next.madeAtMs, this.#startMs) + leadMs) {
      // Published by this run for long enough: validators may have missed what an earlier run published.
      const untilMs = nowMs + this.tokenMs + Math.min(SKEW_MS, this.tokenMs)
      const gone = [{ spki: announcedKey(this.#signing), untilMs }, ...living].slice(0, MAX_RETIRED)
      this.#save({ current: { pem: next.pem, sinceMs: nowMs }, retired: gone })
      return true
    }
    if (living.length === retired.length) return false
    this.#save({ ...this.#state, retired: living })
    return true
  }

  #save(state: State): void {
    this.#vault.write(VaultFile.JwtKeys, JSON.stringify(state))
    this.#state = state
    this.#signing = keyFromPem(state.current.pem)
  }
}

function read(vault: Vault): State | undefined {
  const file = vault.read(VaultFile.JwtKeys)
  if (file === undefined) return undefined
  try {
    const state = schema().parse(JSON.parse(file.toString('utf8')))
    for (const pem of [state.current.pem, ...(state.next === undefined ? [] : [state.next.pem])]) keyFromPem(pem)
    return state
  } catch (cause) {
    throw damaged(vault, VaultFile.JwtKeys, 'is damaged', cause)
  }
}

// Before keys were rotated, there was one key in a file of its own.
function adopt(vault: Vault, nowMs: number): State {
  const former = vault.read(VaultFile.JwtKey)
  const pem = keyToPem(former === undefined ? generateSigningKeyPair() : readKey(vault, VaultFile.JwtKey, former))
  const state: State = { current: { pem, sinceMs: nowMs }, retired: [] }
  vault.write(VaultFile.JwtKeys, JSON.stringify(state))
  return state
}
