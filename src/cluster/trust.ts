import type { Clock, Logger } from '../core/index.ts'
import {
  claimedMachine,
  evictionText,
  type NodeIdentity,
  type PeerKey,
  parseCertificate,
  type Revocation,
  type TrustState,
  type Verdict,
  verifyAgent,
  verifyNodeChain,
  verifyStillValid,
  verifyWorkload,
  type WorkloadIdentity
} from '../identity/index.ts'

// A trust domain has some thousands of hosts; a compromised authority must not be able to fill our memory.
const MAX_NODES = 8_192
// A host has two while it renews; a few more when it renews often, as a host with a hostile operator may.
const MAX_CERTIFICATES = 4

/**
 * The hosts whose certificates were found valid here, and the verdicts that need them.
 *
 * Holds no verdict: every question goes to the verifier again, at the time it is asked.
 */
export class Trust {
  #state: TrustState
  readonly #clock: Clock
  readonly #log: Logger
  /** Newest first, all of one key. */
  readonly #byMachine = new Map<string, readonly NodeIdentity[]>()
  // Needed for each session again and again; the answer costs a signature check.
  readonly #signedBy = new WeakMap<Uint8Array, { readonly ca: string; readonly isOther: boolean }>()

  constructor(state: TrustState, clock: Clock, log: Logger) {
    this.#state = state
    this.#clock = clock
    this.#log = log
  }

  get state(): TrustState {
    return this.#state
  }

  /** Verifies by these revocations from now on. The caller must apply them to existing connections. */
  setRevocations(revocations: readonly Revocation[]): void {
    this.#state = Object.freeze({ ...this.#state, revocations })
  }

  /**
   * Verifies by another trust bundle from now on; the revocations stay. Forgets hosts that have shown no chain below its roots,
   * and returns their keys.
   */
  replace(state: TrustState): PeerKey[] {
    this.#state = Object.freeze({ ...state, revocations: this.#state.revocations })
    const gone: PeerKey[] = []
    for (const [machine, all] of this.#byMachine) {
      const left = all.filter(node => this.#isBelowRoot(node))
      if (left.length > 0) this.#byMachine.set(machine, left)
      else {
        this.#byMachine.delete(machine)
        gone.push(...new Set(all.map(({ peer }) => peer)))
      }
    }
    return gone
  }

  /** Authorities that signed hosts known here, each with its root (DER). */
  authorities(): Array<readonly [authority: Uint8Array, root: Uint8Array]> {
    const seen = new Map<string, readonly [Uint8Array, Uint8Array]>()
    for (const { chainDer } of [...this.#byMachine.values()].flat()) {
      const [, authority, root] = chainDer
      if (authority !== undefined && root !== undefined)
        seen.set(Buffer.from(authority).toString('base64'), [authority, root])
    }
    return [...seen.values()]
  }

  /** Verifies a host's certificate chain without remembering it. */
  verify(chain: readonly Uint8Array[]): Verdict<NodeIdentity> {
    return verifyNodeChain(chain, this.#state, this.#clock.wallMs())
  }

  /**
   * Verifies a host's certificate chain and remembers the host if the chain is valid. Refuses an ephemeral host whose name a later
   * host has.
   */
  admit(chain: readonly Uint8Array[]): Verdict<NodeIdentity> {
    const verdict = this.verify(chain)
    if (!verdict.ok) return verdict
    const { machine, peer } = verdict.identity
    if (this.#isSucceeded(verdict.identity)) {
      return { ok: false, reason: 'wrong-machine', detail: `another host holds the name ${machine} now`, peer }
    }
    this.#remember(verdict.identity)
    return verdict
  }

  /** The host of this name, if it was admitted and its newest certificate is still valid. */
  node(machine: string): NodeIdentity | undefined {
    const node = this.known(machine)
    return node !== undefined && node.notAfterMs > this.#clock.wallMs() ? node : undefined
  }

  /** The host that was last admitted under this name, whether or not it is still valid. */
  known(machine: string): NodeIdentity | undefined {
    return this.#byMachine.get(machine)?.[0]
  }

  /** All certificates that the host last admitted under this name has shown and that may still be valid, newest first. */
  certificatesOf(machine: string): readonly NodeIdentity[] {
    return this.#byMachine.get(machine) ?? []
  }

  /** The reason why the host of this key is refused now; undefined for a valid one, and for one that was never admitted. */
  revokedPeer(peer: PeerKey): string | undefined {
    const node = this.#newestOf(peer)
    if (node !== undefined) return this.#revoked(node)
    const named = this.#state.revocations.find(({ peers }) => peers.includes(peer))
    return named === undefined ? undefined : evictionText(peer, named)
  }

  /** Expiry of the newest certificate of a host, if it has expired and no newer one came; wall milliseconds. */
  expiredSinceMs(peer: PeerKey): number | undefined {
    const node = this.#newestOf(peer)
    return node !== undefined && node.notAfterMs <= this.#clock.wallMs() ? node.notAfterMs : undefined
  }

  /** The machine name of a peer, for people. */
  machineOf(peer: PeerKey): string | undefined {
    return this.#newestOf(peer)?.machine
  }

  /**
   * Verifies a workload's certificate against the host that must have signed it.
   *
   * While a host renews its CA, certificates of both CAs are in use; `issuers` (DER: node CA, authority), if the workload showed
   * them, prove a CA that is not known here yet.
   */
  workload(leaf: Uint8Array, issuers: readonly Uint8Array[] = []): Verdict<WorkloadIdentity> {
    const claimed = claimedMachine(leaf)
    if (!claimed.ok) return claimed
    const machine = claimed.identity
    const unknown: Verdict<WorkloadIdentity> = {
      ok: false,
      reason: 'unknown-signer',
      detail: `no admitted host is named "${machine}"`
    }
    const verdict = this.#verifyLeaf(leaf, this.certificatesOf(machine)) ?? unknown
    const mayBeNewer = !verdict.ok && (verdict.reason === 'unknown-signer' || verdict.reason === 'bad-signature')
    if (!mayBeNewer || issuers.length !== 2) return verdict
    for (const root of this.#state.roots) {
      const admitted = this.admit([...issuers, root.der])
      if (admitted.ok && admitted.identity.machine === machine) {
        return this.#verifyLeaf(leaf, [admitted.identity]) ?? verdict
      }
    }
    return verdict
  }

  /**
   * Verifies the certificate of an agent by the issuers that it sent (DER: node CA, authority), and remembers nothing. The first
   * root under which it is valid counts; else the reason of the newest.
   */
  agent(leaf: Uint8Array, issuers: readonly Uint8Array[]): Verdict<NodeIdentity> {
    let last: Verdict<NodeIdentity> = { ok: false, reason: 'malformed', detail: 'its host shows no chain' }
    for (const root of this.#state.roots) {
      const host = this.verify([...issuers, root.der])
      const agent = host.ok ? verifyAgent(leaf, host.identity, this.#state, this.#clock.wallMs()) : host
      if (host.ok && agent.ok) return host
      if (!agent.ok) last = agent
    }
    return last
  }

  /** Whether the workload's host has shown a newer CA than the signer of this certificate, and so a newer one for it exists. */
  isReplaced(leaf: Uint8Array): boolean {
    const claimed = claimedMachine(leaf)
    const newest = claimed.ok ? this.known(claimed.identity)?.nodeCertificate : undefined
    if (newest === undefined) return false
    const known = this.#signedBy.get(leaf)
    if (known?.ca === newest.sha256) return known.isOther
    const isOther = !parseCertificate(leaf).isSignedBy(newest)
    this.#signedBy.set(leaf, { ca: newest.sha256, isOther })
    return isOther
  }

  // The newest first: the next one is tried only if the certificate has another signer.
  #verifyLeaf(leaf: Uint8Array, signers: readonly NodeIdentity[]): Verdict<WorkloadIdentity> | undefined {
    let last: Verdict<WorkloadIdentity> | undefined
    for (const signer of signers) {
      const verdict = verifyWorkload(leaf, signer, this.#state, this.#clock.wallMs())
      if (verdict.ok || (verdict.reason !== 'bad-signature' && verdict.reason !== 'expired')) return verdict
      last ??= verdict
    }
    return last
  }

  #newestOf(peer: PeerKey): NodeIdentity | undefined {
    for (const [newest] of this.#byMachine.values()) if (newest?.peer === peer) return newest
    return undefined
  }

  #remember(node: NodeIdentity): void {
    const all = this.#byMachine.get(node.machine) ?? []
    const [known] = all
    if (known !== undefined && known.peer !== node.peer) {
      // Both were admitted, one after the other: the host was set up anew. The newer admission counts.
      // An evicted host does not keep its name from its successor.
      const isEvicted = this.#revoked(known) !== undefined
      if (known.notAfterMs >= node.notAfterMs && !isEvicted) return
      this.#log.warn('another key now holds this machine name', { machine: node.machine, peer: node.peer })
    }
    if (all.some(({ chainDer }) => sameChain(node.chainDer, chainDer))) return
    if (known === undefined && this.#byMachine.size >= MAX_NODES) {
      this.#log.error('too many hosts; this one is not remembered', { machine: node.machine, limit: MAX_NODES })
      return
    }
    // The certificates of the host with the other key are removed: that host was replaced.
    const own = all.filter(({ peer }) => peer === node.peer)
    const next = [...own, node].sort((a, b) => b.notAfterMs - a.notAfterMs)
    const now = this.#clock.wallMs()
    this.#byMachine.set(
      node.machine,
      next.filter(({ notAfterMs }, at) => at === 0 || notAfterMs > now).slice(0, MAX_CERTIFICATES)
    )
  }

  // The name of an ephemeral host was free when it was away: one that comes back with its old disk has lost it.
  #isSucceeded({ machine, peer, ephemeral, notAfterMs }: NodeIdentity): boolean {
    const known = ephemeral ? this.known(machine) : undefined
    const isOther = known !== undefined && known.peer !== peer && known.notAfterMs >= notAfterMs
    return isOther && this.#revoked(known) === undefined
  }

  #isBelowRoot(node: NodeIdentity): boolean {
    const verdict = verifyStillValid(node, this.#state, this.#clock.wallMs())
    return verdict.ok || verdict.reason !== 'wrong-root'
  }

  #revoked(node: NodeIdentity): string | undefined {
    const verdict = verifyStillValid(node, this.#state, this.#clock.wallMs())
    return !verdict.ok && verdict.reason === 'revoked' ? verdict.detail : undefined
  }
}

// The same certificate under a renewed authority is another chain, which lasts longer. The same one with another signature, which
// anybody can make from the first, is not: it would push out the certificates of a host that is just being renewed.
function sameChain(a: readonly Uint8Array[], b: readonly Uint8Array[]): boolean {
  const contents = (chain: readonly Uint8Array[]): string =>
    chain.map(der => parseCertificate(der).contentSha256).join()
  return contents(a) === contents(b)
}
