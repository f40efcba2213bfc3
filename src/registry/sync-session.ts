import { ErrorCode, type LimitName, WarrenError } from '../core/index.ts'
import { type PeerKey, peerKeyOf, rawKeyOf } from '../identity/index.ts'
import { create, registryPb } from '../wire/index.ts'
import type { Assembly } from './assembly.ts'
import { comparesContent, contentRequest, MAX_RENEWALS } from './content.ts'
import { handleState, takeSet } from './handle-state.ts'
import type { Now } from './lease.ts'
import type { Effect } from './message.ts'
import { chainIsStale, noteChainTry } from './renewal.ts'
import { requestMissing } from './request-missing.ts'
import type { RegistryState } from './state.ts'
import { isWanted } from './verify-head.ts'
import { decodeResponse, encodeRequest, MAX_WANTS } from './wire-bounds.ts'

/** The result of one response. */
export interface SyncStep {
  /** Carry these out like those of `step`. */
  readonly effects: Effect[]
  /** The next request; undefined when the session has ended. */
  readonly request: Uint8Array | undefined
  /** The peer broke the protocol or refused: the session has ended, and the next one with it should wait a while. */
  readonly fault: WarrenError | undefined
}

type Phase =
  | { readonly at: 'digest' }
  | { readonly at: 'fetch'; readonly asked: readonly PeerKey[] }
  | { readonly at: 'buckets'; readonly assembly: Assembly }
  | { readonly at: 'over' }

/** After this many changes of an owner's set during the fetch of its buckets, the set waits for the next session. */
const MAX_RESTARTS = 8

/**
 * One pull from one peer: asks for the state that it has and we lack, and applies what is valid.
 *
 * Trusts the peer in nothing: each state is verified by its owner's signature, certificate and root. Does no
 * I/O: send `first()` to the peer, then pass each response to `next()`, until there is no further request. Other events may be
 * stepped in between. `maxSyncRequests` limits the requests; the next session fetches the rest.
 */
export class SyncSession {
  readonly peer: PeerKey
  readonly #state: RegistryState
  readonly #queue: PeerKey[] = []
  readonly #assemblies: Assembly[] = []
  readonly #restarts = new Map<PeerKey, number>()
  /** Buckets of a set that changed at the peer while it was fetched. */
  #salvaged: { readonly owner: PeerKey; readonly from: Assembly } | undefined
  #phase: Phase = { at: 'digest' }
  #requests = 1

  constructor(state: RegistryState, peer: PeerKey) {
    this.#state = state
    this.peer = peer
  }

  /** The request that opens the session. */
  first(): Uint8Array {
    const value = comparesContent(this.#state, this.peer)
      ? contentRequest(this.#state)
      : create(registryPb.DigestRequestSchema, { groupHashes: this.#state.digests.hashes() })
    return encodeRequest({ case: 'digest', value })
  }

  /** Applies the response to the last request. Never throws. */
  next(response: Uint8Array, now: Now): SyncStep {
    const effects: Effect[] = []
    try {
      this.#take(decodeResponse(response, this.#state.limits).answer, effects, now)
      this.#finishAssemblies(effects, now)
      return { effects, request: this.#ask(), fault: undefined }
    } catch (err) {
      this.#phase = { at: 'over' }
      return { effects, request: undefined, fault: WarrenError.from(err, ErrorCode.MessageMalformed) }
    }
  }

  #take(answer: registryPb.SyncResponse['answer'], effects: Effect[], now: Now): void {
    const phase = this.#phase
    if (answer.case === 'refused') throw new WarrenError(ErrorCode.NotReady, 'the peer refused to synchronise')
    if (phase.at === 'digest' && answer.case === 'digest') this.#takeDigest(answer.value, effects, now)
    else if (phase.at === 'fetch' && answer.case === 'fetch')
      this.#takeStates(answer.value.states, phase.asked, effects, now)
    else if (phase.at === 'buckets' && answer.case === 'buckets')
      this.#takeBuckets(answer.value.buckets, phase.assembly)
    else throw malformed('it answers another question')
  }

  #takeDigest({ owners, renewals }: registryPb.DigestResponse, effects: Effect[], now: Now): void {
    const state = this.#state
    if (owners.length > state.limits.maxOwners) throw malformed('its digest lists too many owners', 'registry_owners')
    if (renewals.length > MAX_RENEWALS) throw malformed('its digest has too many renewals')
    for (const head of renewals) {
      effects.push(...handleState(state, this.peer, create(registryPb.OwnerStateSchema, { head }), now).effects)
    }
    const wanted = new Set<PeerKey>()
    for (const { owner, epoch, seq, headDigest } of owners) {
      if (owner.length !== 32) throw malformed('an owner in its digest is not a key')
      const peer = peerKeyOf(owner)
      if (isWanted(state, peer, epoch, seq, Buffer.from(headDigest).toString('hex'))) wanted.add(peer)
      // The peer may have its statements about other owners from any host.
      if (peer === this.peer) effects.push(...requestMissing(state, peer, { epoch, seq }))
    }
    for (const entry of state.entries.values()) {
      if (!chainIsStale(state, entry)) continue
      noteChainTry(state, entry)
      wanted.add(entry.owner)
    }
    // The peer itself first: it surely has the newest state of itself.
    if (wanted.delete(this.peer)) this.#queue.push(this.peer)
    this.#queue.push(...wanted)
  }

  #takeStates(states: readonly registryPb.OwnerState[], asked: readonly PeerKey[], effects: Effect[], now: Now): void {
    let answered = -1
    for (const message of states) {
      const taken = handleState(this.#state, this.peer, message, now)
      effects.push(...taken.effects)
      const at = asked.indexOf(taken.owner)
      if (at <= answered) throw malformed('its states are not those asked for, in the order asked')
      answered = at
      if (taken.assembly === undefined) continue
      if (this.#salvaged?.owner === taken.owner) {
        taken.assembly.reuse(this.#salvaged.from.salvage)
        this.#salvaged = undefined
      }
      this.#assemblies.push(taken.assembly)
    }
    // The states after the last one did not fit; but when there are none at all, the peer has none of them.
    if (answered >= 0) this.#queue.unshift(...asked.slice(answered + 1))
  }

  #takeBuckets(buckets: readonly registryPb.Bucket[], assembly: Assembly): void {
    if (buckets.length > 0) {
      assembly.take(buckets)
      return
    }
    // The owner's set changed at the peer. Buckets that did not change stay valid.
    this.#assemblies.shift()
    const { owner } = assembly.candidate.sealed.head
    const restarts = (this.#restarts.get(owner) ?? 0) + 1
    this.#restarts.set(owner, restarts)
    if (restarts > MAX_RESTARTS) return
    this.#salvaged = { owner, from: assembly }
    this.#queue.unshift(owner)
  }

  #finishAssemblies(effects: Effect[], now: Now): void {
    for (let assembly = this.#assemblies[0]; assembly?.isComplete() === true; assembly = this.#assemblies[0]) {
      this.#assemblies.shift()
      effects.push(...takeSet(this.#state, assembly.candidate, assembly.set(), assembly.fault, now))
    }
  }

  #ask(): Uint8Array | undefined {
    const assembly = this.#assemblies[0]
    this.#requests += 1
    if (this.#requests > this.#state.limits.maxSyncRequests || (assembly === undefined && this.#queue.length === 0)) {
      this.#phase = { at: 'over' }
      return undefined
    }
    if (assembly !== undefined) {
      this.#phase = { at: 'buckets', assembly }
      return encodeRequest({ case: 'buckets', value: assembly.request() })
    }
    const asked = this.#queue.splice(0, MAX_WANTS)
    this.#phase = { at: 'fetch', asked }
    const wants = asked.map(owner => this.#want(owner))
    return encodeRequest({ case: 'fetch', value: create(registryPb.FetchRequestSchema, { wants }) })
  }

  #want(owner: PeerKey): registryPb.Want {
    const held = this.#state.entries.get(owner)
    return create(registryPb.WantSchema, {
      owner: rawKeyOf(owner),
      root: Buffer.from(held?.set.root ?? '', 'hex'),
      certificateSha256: Buffer.from(held?.certificateSha256 ?? '', 'hex')
    })
  }
}

function malformed(why: string, limit?: LimitName): WarrenError {
  const reason = `a sync response is not usable: ${why}`
  return new WarrenError(ErrorCode.MessageMalformed, reason, limit === undefined ? {} : { limit })
}
