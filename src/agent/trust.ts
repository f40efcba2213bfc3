import { X509Certificate } from 'node:crypto'
import type { Clock, Logger } from '../core/index.ts'
import {
  type NodeIdentity,
  type PeerKey,
  type TrustState,
  type Verdict,
  verifyNodeChain,
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
  readonly state: TrustState
  readonly #clock: Clock
  readonly #log: Logger
  readonly #byMachine = new Map<string, NodeIdentity>()

  constructor(state: TrustState, clock: Clock, log: Logger) {
    this.state = state
    this.#clock = clock
    this.#log = log
  }

  /** Judges a host's certificate chain and remembers the host if it is good. */
  admit(chain: readonly Uint8Array[]): Verdict<NodeIdentity> {
    const verdict = verifyNodeChain(chain, this.state, this.#clock.wallMs())
    if (verdict.ok) this.#remember(verdict.identity)
    return verdict
  }

  /** The host of this name, if it was admitted and its certificate still is good. */
  node(machine: string): NodeIdentity | undefined {
    const node = this.#byMachine.get(machine)
    return node !== undefined && node.notAfterMs > this.#clock.wallMs() ? node : undefined
  }

  /** The machine name of a peer, for people. */
  machineOf(peer: PeerKey): string | undefined {
    for (const node of this.#byMachine.values()) if (node.peer === peer) return node.machine
    return undefined
  }

  /** Judges a workload's certificate against the host that must have signed it. */
  workload(leaf: Uint8Array): Verdict<WorkloadIdentity> {
    const machine = claimedMachine(leaf)
    const signer = machine === undefined ? undefined : this.node(machine)
    if (signer === undefined) {
      return { ok: false, reason: 'unknown-signer', detail: `no admitted host is named "${machine ?? ''}"` }
    }
    return verifyWorkload(leaf, signer, this.state, this.#clock.wallMs())
  }

  #remember(node: NodeIdentity): void {
    const known = this.#byMachine.get(node.machine)
    if (known !== undefined && known.peer !== node.peer) {
      // Both were admitted, one after the other: a host that was set up anew. The newer admission counts.
      if (known.notAfterMs >= node.notAfterMs) return
      this.#log.warn('another key now holds this machine name', { machine: node.machine, peer: node.peer })
    }
    if (known !== undefined && known.notAfterMs > node.notAfterMs) return
    if (known === undefined && this.#byMachine.size >= MAX_NODES) {
      this.#log.error('too many hosts; this one is not remembered', { machine: node.machine, limit: MAX_NODES })
      return
    }
    this.#byMachine.set(node.machine, node)
  }
}

// Only a hint whose key to verify with: what the certificate claims counts after verification, and not before.
function claimedMachine(leaf: Uint8Array): string | undefined {
  try {
    const names = new X509Certificate(leaf).subjectAltName ?? ''
    return /^URI:spiffe:\/\/[^/]+\/(?:[^/,]+\/)*([^/,]+)$/.exec(names)?.[1]
  } catch {
    return undefined
  }
}
