import type { EventSource } from '../events/index.ts'
import type { PeerKey } from '../identity/index.ts'
import type { OwnerView } from '../registry/index.ts'

/** A signed document; members announce the version that they have. */
export interface Versioned {
  readonly version: bigint
  /** Fetches a newer version from a member, in the background. */
  readonly pull: (peer: PeerKey) => void
}

export interface FollowRegistryDeps {
  readonly events: EventSource
  readonly ownerOf: (peer: PeerKey) => OwnerView | undefined
  readonly isConnected: (peer: PeerKey) => boolean
  readonly addHints: (addresses: readonly string[]) => void
  /** Records the addresses of a member; returns those that are new. */
  readonly members: { readonly note: (peer: PeerKey) => readonly string[] }
  readonly authorities: { readonly note: (view: OwnerView) => void }
  readonly policy: Versioned & {
    /** What other admins say: members announce a digest of all that they hold. */
    readonly sets: { readonly exchange: { readonly heard: (peer: PeerKey, digest: string) => void } }
  }
  readonly trust: Versioned
  readonly failures: { readonly heard: (peer: PeerKey) => void }
}

/** Records each change of a member: its addresses, its capabilities, and whether it has a newer policy or newer roots. */
export function followRegistry(deps: FollowRegistryDeps): void {
  const { events, ownerOf, isConnected, policy, trust } = deps
  events.on('registry-changed', ({ peer, cause }) => {
    deps.addHints(deps.members.note(peer))
    const view = ownerOf(peer)
    if (view !== undefined) deps.authorities.note(view)
    if (isConnected(peer)) {
      if ((view?.policyVersion ?? 0n) > policy.version) policy.pull(peer)
      policy.sets.exchange.heard(peer, view?.policySets ?? '')
      if ((view?.trustVersion ?? 0n) > trust.version) trust.pull(peer)
    }
    if (cause === 'head' || cause === 'set') deps.failures.heard(peer)
  })
}
