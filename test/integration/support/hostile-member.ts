import type { KeyObject } from 'node:crypto'
import { DEFAULT_LIFETIMES } from '../../../src/ca/lifetimes.ts'
import { loadMembership } from '../../../src/ca/membership/membership.ts'
import { silentLogger, systemClock } from '../../../src/core/index.ts'
import {
  CONTEXT,
  type PeerKey,
  parseAddress,
  rawKeyOf,
  sign,
  verifyNodeChain,
  verifySignature
} from '../../../src/identity/index.ts'
import { createMesh, type Mesh } from '../../../src/mesh/index.ts'
import { type Head, openHead, sealHead, toWire } from '../../../src/registry/head.ts'
import {
  answer,
  createRegistry,
  DEFAULT_LIMITS,
  type Effect,
  type Event,
  type LocalRecord,
  type RegistryState,
  SyncSession,
  step
} from '../../../src/registry/index.ts'
import { Vault } from '../../../src/state/vault.ts'
import { create, decode, meshPb, registryPb, toBinary } from '../../../src/wire/index.ts'
import type { TestAgent } from '../../harness/index.ts'

/** Whatever of others it has heard, as it was signed. */
export interface Heard {
  readonly owner: PeerKey
  readonly head: registryPb.SignedHead
}

/**
 * A member with a good certificate that says what it likes: the keys of an agent that has ended, a real mesh, and a
 * registry of its own that does not keep to the limits.
 */
export class HostileMember {
  readonly peer: PeerKey
  readonly mesh: Mesh
  readonly heard: Heard[] = []
  /** Instead of the truth, what a peer that synchronises is told. */
  lie: ((ask: registryPb.SyncRequest['ask']) => Uint8Array | undefined) | undefined
  readonly #state: RegistryState
  readonly #key: KeyObject
  readonly #trustDomain: string
  readonly #machine: string
  #nonce = 1

  private constructor(mesh: Mesh, state: RegistryState, key: KeyObject, trustDomain: string) {
    this.mesh = mesh
    this.#state = state
    this.#key = key
    this.#trustDomain = trustDomain
    this.#machine = state.own.machine
    this.peer = state.own.peer
    mesh.onGossip('registry', bytes => {
      const { event } = decode(registryPb.GossipSchema, bytes, bytes.length)
      const head = event.case === 'delta' ? event.value.head : event.case === 'head' ? event.value : undefined
      if (head !== undefined) this.#hear(head)
      return 'ignore'
    })
    mesh.onGossip('policy', () => 'ignore')
    const sizes = { maxRequestBytes: 256 * 1024, maxResponseBytes: 2 * 1024 * 1024 }
    mesh.handle('/warren/sync/1', async (_peer, request) => this.#answer(request), sizes)
    mesh.handle('/warren/ack/1', async () => new Uint8Array(), sizes)
    mesh.handle('/warren/policy/1', async () => new Uint8Array(), sizes)
    mesh.handle('/warren/probe/1', async () => new Uint8Array(), sizes)
  }

  /** In the place of `agent`, which must have ended; connected to all of `others`. */
  static async inPlaceOf(agent: TestAgent, others: readonly TestAgent[]): Promise<HostileMember> {
    const membership = loadMembership(new Vault(agent.stateDir), DEFAULT_LIFETIMES, Date.now())
    if (membership === undefined) throw new Error(`${agent.name} is no member`)
    const { trustDomain, trust, credentials, peerKey, machine } = membership
    const addresses = (await Promise.all(others.map(other => other.status()))).flatMap(
      ({ meshAddresses }) => meshAddresses
    )
    const admit = (chain: readonly Uint8Array[]) => {
      const verdict = verifyNodeChain(chain, trust.state, Date.now())
      return verdict.ok ? verdict.identity : undefined
    }
    const mesh = await createMesh({
      peerKey,
      trustDomain,
      listen: { host: '127.0.0.1', port: 0 },
      mdns: false,
      bootstrap: addresses,
      nodeChain: () => credentials.node.chainDer,
      verifyChain: chain => {
        const found = admit(chain)
        if (found === undefined) return { ok: false, reason: 'no', detail: 'no' }
        return { ok: true, machine: found.machine, peer: found.peer }
      },
      log: silentLogger,
      clock: systemClock
    })
    const state = createRegistry(
      {
        trustDomain,
        self: { peer: credentials.node.peer, machine },
        highWaterMarks: [],
        sign: bytes => sign(peerKey, CONTEXT.nodeHead, bytes),
        verify: (key, bytes, signature) => verifySignature(key, CONTEXT.nodeHead, bytes, signature),
        admit,
        // Its own caps are far above those of the others.
        limits: { maxLabels: 512, maxLabelLength: 4_096, maxRecordBytes: 262_144 }
      },
      { wallMs: Date.now(), monotonicMs: performance.now() }
    )
    const hostile = new HostileMember(mesh, state, peerKey, trustDomain)
    await mesh.start()
    hostile.step({
      type: 'local-head',
      profile: {
        meshAddresses: mesh.addresses(),
        dataAddresses: [],
        capabilities: ['tcp'],
        jwtKeys: [],
        softwareVersion: '',
        protocolVersions: [],
        policyVersion: 0n,
        trustVersion: 1n,
        draining: false,
        nodeChain: credentials.node.chainDer
      }
    })
    return hostile
  }

  /** Does what an honest host would do about `event`, and returns what it would publish. */
  step(event: Event): Uint8Array[] {
    const effects = step(this.#state, event, { wallMs: Date.now(), monotonicMs: performance.now() })
    return effects.flatMap((effect: Effect) => (effect.type === 'publish' ? [effect.bytes] : []))
  }

  /** Learns what `peer` holds, so that it has heads of others to play with. */
  async learnFrom(peer: PeerKey): Promise<void> {
    const session = new SyncSession(this.#state, peer)
    let request: Uint8Array | undefined = session.first()
    while (request !== undefined) {
      const response = await this.mesh.request(peer, '/warren/sync/1', request, { maxResponseBytes: 2 * 1024 * 1024 })
      request = session.next(response, { wallMs: Date.now(), monotonicMs: performance.now() }).request
    }
    for (const { sealed } of this.#state.entries.values()) this.#hear(toWire(sealed))
  }

  record(name: string, labels: Readonly<Record<string, string>> = {}, machine = this.#machine): LocalRecord {
    this.#nonce += 1
    return {
      registrationId: this.#nonce.toString(16).padStart(64, '0'),
      address: parseAddress(`dev.hostile.${name}.default.${machine}`),
      protocols: ['tcp'],
      whitelist: [],
      health: 'passing',
      labels,
      registeredAtMs: Date.now(),
      ttlMs: 0,
      ports: [],
      weight: 100
    }
  }

  /** The head of another host with some of it changed, signed with our key. */
  forged({ head }: Heard, change: Partial<Head>): registryPb.SignedHead {
    const { head: real } = openHead(head, this.#trustDomain, DEFAULT_LIMITS)
    return toWire(
      sealHead({ ...real, ...change }, this.#trustDomain, bytes => sign(this.#key, CONTEXT.nodeHead, bytes))
    )
  }

  /** Our own head with some of it changed. */
  own(change: Partial<Head>): registryPb.SignedHead {
    const held = this.#state.entries.get(this.peer)
    if (held === undefined) throw new Error('it has said nothing yet')
    return toWire(
      sealHead({ ...held.sealed.head, ...change }, this.#trustDomain, bytes => sign(this.#key, CONTEXT.nodeHead, bytes))
    )
  }

  /** Says `event` to all. An unknown field makes it another message for gossip, and the same one for the registry. */
  async say(event: registryPb.Gossip['event']): Promise<void> {
    this.#nonce += 1
    const salt = Buffer.from([0xfa, 0x7f, 4, 0, 0, 0, 0])
    salt.writeUInt32BE(this.#nonce, 3)
    const bytes = toBinary(registryPb.GossipSchema, create(registryPb.GossipSchema, { event }))
    await this.shout(Buffer.concat([bytes, salt]))
  }

  /** Gossips bytes of any kind. */
  async shout(bytes: Uint8Array): Promise<void> {
    await this.mesh.publish('registry', bytes)
  }

  /** Tells `to` that `about` does not answer. */
  async slander(to: PeerKey, about: PeerKey): Promise<void> {
    const request = create(meshPb.ProbeRequestSchema, { ask: { case: 'suspected', value: rawKeyOf(about) } })
    await this.mesh.request(to, '/warren/probe/1', toBinary(meshPb.ProbeRequestSchema, request), {
      maxResponseBytes: 1_024
    })
  }

  async stop(): Promise<void> {
    await this.mesh.stop()
  }

  #hear(head: registryPb.SignedHead): void {
    const { owner } = openHead(head, this.#trustDomain, DEFAULT_LIMITS).head
    if (owner !== this.peer) this.heard.push({ owner, head })
  }

  #answer(request: Uint8Array): Uint8Array {
    const { ask } = decode(registryPb.SyncRequestSchema, request, request.length)
    const lie = this.lie?.(ask)
    if (lie !== undefined) return lie
    return answer(this.#state, request, { wallMs: Date.now(), monotonicMs: performance.now() })
  }
}

/** The answer of a synchronisation. */
export function syncResponse(value: registryPb.SyncResponse['answer']): Uint8Array {
  return toBinary(registryPb.SyncResponseSchema, create(registryPb.SyncResponseSchema, { answer: value }))
}
