import type { Clock, Logger } from '../core/index.ts'
import {
  claimedMachine,
  evictionText,
  type NodeIdentity,
  type PeerKey,
  type Revocation,
  type TrustState,
  type Verdict,
  verifyNodeChain,
  verifyStanding,
  verifyWorkload,
  type WorkloadIdentity
} from '../identity/index.ts'

// A trust domain has some thousands of hosts; a compromised authority must not be able to fill our memory.
const MAX_NODES = 8_192

/**
 * The hosts whose certificates were judged good here, and the judgements that need them.
 *
 * Holds no verdict: every question is put to the judge again, at the time it is asked.
 */
export class Trust {
  #state: TrustState
  readonly #clock: Clock
  readonly #log: Logger
  readonly #byMachine = new Map<string, NodeIdentity>()

  constructor(state: TrustState, clock: Clock, log: Logger) {
    this.#state = state
    this.#clock = clock
    this.#log = log
  }

  get state(): TrustState {
    return this.#state
  }

  /** Judges by these revocations from now on. What follows for what exists already is the caller's. */
  setRevocations(revocations: readonly Revocation[]): void {
    this.#state = Object.freeze({ ...this.#state, revocations })
  }

  /** Judges a host's certificate chain without remembering it. */
  judge(chain: readonly Uint8Array[]): Verdict<NodeIdentity> {
    return verifyNodeChain(chain, this.#state, this.#clock.wallMs())
  }

  /** Judges a host's certificate chain and remembers the host if it is good. */
  admit(chain: readonly Uint8Array[]): Verdict<NodeIdentity> {
    const verdict = this.judge(chain)
    if (verdict.ok) this.#remember(verdict.identity)
    return verdict
  }

  /** The host of this name, if it was admitted and its certificate still is good. */
  node(machine: string): NodeIdentity | undefined {
    const node = this.#byMachine.get(machine)
    return node !== undefined && node.notAfterMs > this.#clock.wallMs() ? node : undefined
  }

  /** The host that was last admitted under this name, whatever became of it. */
  known(machine: string): NodeIdentity | undefined {
    return this.#byMachine.get(machine)
  }

  /** Why the host of this key is refused now; undefined for one that is good, and for one that was never admitted. */
  revokedPeer(peer: PeerKey): string | undefined {
    for (const node of this.#byMachine.values()) {
      if (node.peer === peer) return this.#revoked(node)
    }
    const named = this.#state.revocations.find(({ peers }) => peers.includes(peer))
    return named === undefined ? undefined : evictionText(peer, named)
  }

  /** The machine name of a peer, for people. */
  machineOf(peer: PeerKey): string | undefined {
    for (const node of this.#byMachine.values()) if (node.peer === peer) return node.machine
    return undefined
  }

  /** Judges a workload's certificate against the host that must have signed it. */
  workload(leaf: Uint8Array): Verdict<WorkloadIdentity> {
    const claimed = claimedMachine(leaf)
    if (!claimed.ok) return claimed
    // Also one whose own certificate has ended: the judge then says so.
    const signer = this.known(claimed.identity)
    if (signer === undefined) {
      return { ok: false, reason: 'unknown-signer', detail: `no admitted host is named "${claimed.identity}"` }
    }
    return verifyWorkload(leaf, signer, this.#state, this.#clock.wallMs())
  }

  #remember(node: NodeIdentity): void {
    const known = this.#byMachine.get(node.machine)
    if (known !== undefined && known.peer !== node.peer) {
      // Both were admitted, one after the other: a host that was set up anew. The newer admission counts.
      // One that was evicted does not keep its name from its successor.
      const isEvicted = this.#revoked(known) !== undefined
      if (known.notAfterMs >= node.notAfterMs && !isEvicted) return
      this.#log.warn('another key now holds this machine name', { machine: node.machine, peer: node.peer })
    }
    if (known?.peer === node.peer && known.notAfterMs > node.notAfterMs) return
    if (known === undefined && this.#byMachine.size >= MAX_NODES) {
      this.#log.error('too many hosts; this one is not remembered', { machine: node.machine, limit: MAX_NODES })
      return
    }
    this.#byMachine.set(node.machine, node)
  }

  #revoked(node: NodeIdentity): string | undefined {
    const verdict = verifyStanding(node, this.#state, this.#clock.wallMs())
    return !verdict.ok && verdict.reason === 'revoked' ? verdict.detail : undefined
  }
}
