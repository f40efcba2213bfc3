import { createHash } from 'node:crypto'
import { addressOfSpiffeId, type PeerKey, parseAddress, parsePattern, peerKeyOf } from '../../src/identity/index.ts'
import {
  type Admitted,
  answer,
  CONTENT_DIGEST_CAPABILITY,
  createRegistry,
  type Effect,
  type Event,
  type HighWaterMark,
  type LocalRecord,
  type Profile,
  type RegistryConfig,
  type RegistryState,
  records,
  SyncSession,
  type SyncStep,
  step
} from '../../src/registry/index.ts'

export const TD = 'example.org'
export const START_MS = 1_700_000_000_000

export function sha256(...parts: Array<string | Uint8Array>): Buffer {
  const digest = createHash('sha256')
  for (const part of parts) digest.update(part)
  return digest.digest()
}

export function keyOf(machine: string): Uint8Array {
  return new Uint8Array(sha256('key of ', machine))
}

/** Stands in for Ed25519: whoever has the raw key can sign, and one bit more or less does not verify. */
export function fakeSign(rawKey: Uint8Array, bytes: Uint8Array): Uint8Array {
  return Buffer.concat([sha256('a', rawKey, bytes), sha256('b', rawKey, bytes)])
}

export function chainOf(identity: Admitted, serial = 0): Uint8Array[] {
  return [Buffer.from(JSON.stringify({ ...identity, serial }))]
}

export interface NodeOptions {
  readonly highWaterMarks?: readonly HighWaterMark[]
  readonly limits?: RegistryConfig['limits']
  readonly leases?: RegistryConfig['leases']
  /** Key of another machine, for two hosts with one identity. */
  readonly keyFrom?: string
  readonly publishes?: boolean
  readonly contentSyncAbove?: number
  readonly capabilities?: readonly string[]
  readonly scopes?: readonly string[]
}

/** Time of one test, by both clocks. */
export class Time {
  wallMs = START_MS
  monotonicMs = 1_000
  pass(ms: number): void {
    this.wallMs += ms
    this.monotonicMs += ms
  }
}

/** One replica with what it sent and what it would have on disk. */
export class Node {
  readonly machine: string
  readonly key: Uint8Array
  readonly peer: PeerKey
  readonly time: Time
  readonly state: RegistryState
  readonly disk = new Map<PeerKey, HighWaterMark>()
  readonly sent: Uint8Array[] = []
  readonly effects: Effect[] = []
  readonly identity: Admitted
  readonly revoked = new Set<PeerKey>()
  profile: Profile

  constructor(machine: string, time: Time, options: NodeOptions = {}) {
    this.machine = machine
    this.time = time
    this.key = keyOf(options.keyFrom ?? machine)
    this.peer = peerKeyOf(this.key)
    this.identity = {
      peer: this.peer,
      machine,
      scopes: options.scopes ?? [],
      notAfterMs: START_MS + 30 * 24 * 3_600_000
    }
    for (const highWaterMark of options.highWaterMarks ?? []) this.disk.set(highWaterMark.owner, highWaterMark)
    this.profile = {
      meshAddresses: [`/ip4/127.0.0.1/tcp/7460/p2p/${this.peer}`],
      dataAddresses: ['127.0.0.1:7461'],
      capabilities: options.capabilities ?? [CONTENT_DIGEST_CAPABILITY],
      jwtKeys: [],
      softwareVersion: '',
      protocolVersions: [],
      policyVersion: 1n,
      trustVersion: 1n,
      draining: false,
      nodeChain: chainOf(this.identity)
    }
    this.state = createRegistry(
      {
        trustDomain: TD,
        self: { peer: this.peer, machine },
        highWaterMarks: options.highWaterMarks ?? [],
        sign: bytes => fakeSign(this.key, bytes),
        verify: (raw, bytes, signature) => Buffer.from(signature).equals(fakeSign(raw, bytes)),
        admit: chain => this.#admit(chain),
        ...(options.contentSyncAbove === undefined ? {} : { contentSyncAbove: options.contentSyncAbove }),
        ...(options.limits === undefined ? {} : { limits: options.limits }),
        ...(options.leases === undefined ? {} : { leases: options.leases })
      },
      time
    )
    if (options.publishes !== false) this.step({ type: 'local-head', profile: this.profile })
  }

  step(event: Event): Effect[] {
    return this.run(step(this.state, event, { ...this.time }))
  }

  run(effects: Effect[]): Effect[] {
    for (const effect of effects) {
      if (effect.type === 'persist') this.disk.set(effect.highWaterMark.owner, effect.highWaterMark)
      if (effect.type === 'forget') this.disk.delete(effect.owner)
      if (effect.type === 'publish') this.sent.push(effect.bytes)
    }
    this.effects.push(...effects)
    return effects
  }

  announce(change: Partial<Profile>): Effect[] {
    this.profile = { ...this.profile, ...change }
    return this.step({ type: 'local-head', profile: this.profile })
  }

  put(...names: string[]): Effect[] {
    return this.step({ type: 'local-change', puts: names.map(name => recordOf(this.machine, name)), deletes: [] })
  }

  delete(...names: string[]): Effect[] {
    return this.step({ type: 'local-change', puts: [], deletes: names.map(name => idOf(this.machine, name)) })
  }

  hear(bytes: Uint8Array | undefined, from: Node): Effect[] {
    if (bytes === undefined) throw new Error('nothing was sent')
    return this.step({ type: 'gossip', from: from.peer, bytes })
  }

  /** Pulls from `other` until done; returns the steps and the bytes of all responses. */
  pull(other: Node, tamper: (response: Uint8Array) => Uint8Array = bytes => bytes): Pull {
    const session = new SyncSession(this.state, other.peer)
    const pull: Pull = { steps: [], responseBytes: [], requestBytes: [] }
    let request: Uint8Array | undefined = session.first()
    while (request !== undefined) {
      pull.requestBytes.push(request.length)
      const response = tamper(answer(other.state, request, { ...this.time }))
      pull.responseBytes.push(response.length)
      const taken = session.next(response, { ...this.time })
      this.run(taken.effects)
      pull.steps.push(taken)
      request = taken.request
    }
    return pull
  }

  /** Names registered on `other`, as this replica sees them. */
  sees(other: Node): string[] {
    return records(this.state, other.peer)
      .map(({ record }) => record.address.appIdentity)
      .sort()
  }

  #admit(chain: readonly Uint8Array[]): Admitted | undefined {
    try {
      const identity = JSON.parse(Buffer.from(chain[0] ?? []).toString()) as Admitted
      return this.revoked.has(identity.peer) || identity.notAfterMs <= this.time.wallMs ? undefined : identity
    } catch {
      return undefined
    }
  }
}

export interface Pull {
  readonly steps: SyncStep[]
  readonly responseBytes: number[]
  readonly requestBytes: number[]
}

export function idOf(machine: string, name: string): string {
  return sha256(machine, '/', name).toString('hex')
}

export function recordOf(machine: string, name: string, more: Partial<LocalRecord> = {}): LocalRecord {
  return {
    registrationId: idOf(machine, name),
    address: parseAddress(`dev.web.${name}.default.${machine}`),
    protocols: ['tcp'],
    whitelist: [parsePattern('dev.*.*.*')],
    health: 'passing',
    labels: { version: '1' },
    registeredAtMs: START_MS,
    ttlMs: 0,
    ports: [],
    weight: 100,
    ...more
  }
}

export function verdictOf(effects: readonly Effect[]): string {
  const verdicts = effects.filter(effect => effect.type === 'verdict')
  if (verdicts.length !== 1) throw new Error(`${verdicts.length} verdicts`)
  return verdicts[0]!.verdict
}

export function typesOf(effects: readonly Effect[]): string[] {
  return effects.map(effect => effect.type)
}

export function alarmsOf(effects: readonly Effect[]): string[] {
  return effects.flatMap(effect => (effect.type === 'alarm' ? [effect.kind] : []))
}

/** Nodes that hold each other's heads and certificates. */
export function mesh(time: Time, ...machines: string[]): Node[] {
  const nodes = machines.map(machine => new Node(machine, time))
  settle(nodes)
  return nodes
}

/** Every node pulls from every other, twice: what one learnt late reaches those who asked it early. */
export function settle(nodes: readonly Node[]): void {
  for (let round = 0; round < 2; round += 1) {
    for (const node of nodes) for (const other of nodes) if (node !== other) node.pull(other)
  }
}

export { addressOfSpiffeId }
