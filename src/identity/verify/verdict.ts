import type { PeerKey } from '../peer-key.ts'

/** The reason why a certificate, a binding or a chain does not prove what it must. */
export type RefusalReason =
  | 'malformed'
  | 'too-large'
  | 'wrong-chain-length'
  | 'wrong-root'
  | 'bad-signature'
  | 'not-yet-valid'
  | 'expired'
  | 'not-a-ca'
  | 'is-a-ca'
  | 'path-length'
  | 'key-usage'
  | 'extended-key-usage'
  | 'key-type'
  | 'key-form'
  | 'unknown-critical-extension'
  | 'names'
  | 'trust-domain'
  | 'no-binding'
  | 'bad-binding'
  | 'wrong-machine'
  | 'scope'
  | 'unknown-signer'
  | 'revoked'

/** The answer of the verifier: the proved facts, or the reason why nothing is proved. */
export type Verdict<T> =
  | { readonly ok: true; readonly identity: T }
  | {
      readonly ok: false
      readonly reason: RefusalReason
      readonly detail: string
      /** The key of a host that was a member, and whose chain is otherwise valid. */
      readonly peer?: PeerKey
    }

/** Carries a refusal from deep inside a verification to its edge, where it becomes a value. Never leaves this folder. */
export class Refusal extends Error {
  readonly reason: RefusalReason
  readonly peer: PeerKey | undefined

  constructor(reason: RefusalReason, detail: string, peer?: PeerKey) {
    super(detail)
    this.reason = reason
    this.peer = peer
  }
}

/** Runs a verification; everything but a regular end is a refusal, also an unforeseen error. */
export function verdictOf<T>(verify: () => T): Verdict<T> {
  try {
    return { ok: true, identity: verify() }
  } catch (err) {
    if (err instanceof Refusal) {
      const { reason, message: detail, peer } = err
      return { ok: false, reason, detail, ...(peer === undefined ? {} : { peer }) }
    }
    return { ok: false, reason: 'malformed', detail: err instanceof Error ? err.message : 'cannot be read' }
  }
}
