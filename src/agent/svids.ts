import type { KeyObject } from 'node:crypto'
import { type Clock, ErrorCode, WarrenError } from '../core/index.ts'

/** A workload's certificate with its key, ready for TLS. */
export interface Svid {
  /** DER: leaf, node CA, authority. */
  readonly chainDer: readonly Uint8Array[]
  /** The same as PEM. */
  readonly certPem: string
  readonly key: KeyObject
  readonly notBeforeMs: number
  readonly notAfterMs: number
}

interface Slot {
  readonly spiffeId: string
  current: Svid | undefined
  pending: Promise<Svid> | undefined
}

/**
 * The SVIDs of the registrations of this host.
 *
 * Issued when first needed and again from half of their life on, so that what is handed out is always good for at least
 * that long; a failed renewal leaves the old one in use until it ends.
 */
export class Svids {
  readonly #slots = new Map<string, Slot>()
  readonly #issue: (spiffeId: string) => Promise<Svid>
  readonly #clock: Clock

  constructor(issue: (spiffeId: string) => Promise<Svid>, clock: Clock) {
    this.#issue = issue
    this.#clock = clock
  }

  add(registrationId: string, spiffeId: string): void {
    this.#slots.set(registrationId, { spiffeId, current: undefined, pending: undefined })
  }

  remove(registrationId: string): void {
    this.#slots.delete(registrationId)
  }

  /** The SVID of a registration. Rejects with INVALID_SOURCE when there is no such registration. */
  async get(registrationId: string): Promise<Svid> {
    const slot = this.#slots.get(registrationId)
    if (slot === undefined) throw new WarrenError(ErrorCode.InvalidSource, 'the workload is not registered here')
    const now = this.#clock.wallMs()
    const { current } = slot
    if (current !== undefined && now < (current.notBeforeMs + current.notAfterMs) / 2) return current
    slot.pending ??= this.#issue(slot.spiffeId).finally(() => {
      slot.pending = undefined
    })
    try {
      slot.current = await slot.pending
    } catch (err) {
      if (current === undefined || now >= current.notAfterMs) throw err
      return current
    }
    return slot.current
  }
}
