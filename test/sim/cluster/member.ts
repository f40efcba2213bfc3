import { createHash } from 'node:crypto'
import {
  AckRelay,
  Announcer,
  ackThrough,
  adminSetsOn,
  askForTrust,
  capabilitiesOf,
  Enforcement,
  Evictions,
  FailureService,
  followRegistry,
  gatherOnMesh,
  MemberStore,
  PolicyService,
  policyTransport,
  RegistryService,
  registryTransport,
  Trust,
  TrustService,
  wireMesh,
  wireTrust
} from '../../../src/cluster/index.ts'
import { type Clock, detach, loop, silentLogger, silentMetrics } from '../../../src/core/index.ts'
import { EventBus } from '../../../src/events/index.ts'
import { CONTEXT, type PeerKey, rawPublicKey, sign, verifySignature } from '../../../src/identity/index.ts'
import type { AdmissionVerdict } from '../../../src/mesh/types.ts'
import { createRegistry, owner, owners, type RegistryState } from '../../../src/registry/index.ts'
import type { Store } from '../../../src/state/index.ts'
import { TrustFile } from '../../../src/state/trust-file.ts'
import { type Vault, VaultFile } from '../../../src/state/vault.ts'
import { Disk } from '../disk.ts'
import type { ClusterSimulation } from './cluster-simulation.ts'
import { EPOCH_MS, type Identity, TRUST_DOMAIN } from './domain.ts'
import { Liar } from './liar.ts'
import { SimMesh } from './sim-mesh.ts'
import { Run } from './virtual-process.ts'

/** As in a mesh of more than 32 hosts: pings find who is gone, long before a lease ends. */
export const LEASE_MS = 40_000
const LEASES = [{ maxOwners: Number.POSITIVE_INFINITY, refreshMs: 12_000, leaseMs: LEASE_MS }] as const
const SEEDS = 3

/** What a host is in this story. */
export type Role = 'admin' | 'honest' | 'liar' | 'rogue'

/** What runs of a host from its start to its crash. */
export interface Running {
  readonly run: Run
  readonly mesh: SimMesh
  readonly state: RegistryState
  readonly registry: RegistryService
  readonly trust: Trust
  readonly trustService: TrustService
  readonly policy: PolicyService
  readonly failures: FailureService
  readonly liar: Liar | undefined
  readonly stop: () => void
}

/**
 * One host: the services of the agent that its hosts agree by, joined as the agent joins them, over a mesh, a disk and clocks of the
 * simulation. A liar and a rogue are hosts of this kind whose mesh says something else, and that heed no eviction.
 */
export class Member {
  readonly identity: Identity
  readonly role: Role
  /** It will not run again. */
  isDead = false
  crashedAtMs: number | undefined
  startedAtMs = 0
  /** How far its wall clock is off. */
  skewMs = 0
  /** The policy and the trust bundles on its disk. */
  policyOnDisk: Uint8Array | undefined
  now: Running | undefined
  #firstPolicy: Uint8Array | undefined
  readonly #sim: ClusterSimulation
  readonly #vault: Vault
  readonly #marks: Disk
  readonly #settings = new Map<string, Uint8Array>()

  constructor(sim: ClusterSimulation, identity: Identity, role: Role) {
    this.#sim = sim
    this.identity = identity
    this.role = role
    this.#marks = new Disk(sim.random)
    this.#vault = memoryVault(
      new Map([
        [VaultFile.TrustBundle, Buffer.from(sim.domain.trustBundle(1n))],
        [VaultFile.RootFingerprint, Buffer.from(sim.domain.pin)]
      ])
    )
  }

  get machine(): string {
    return this.identity.machine
  }

  get peer(): PeerKey {
    return this.identity.peer
  }

  /** What it does is to be right. */
  get isHonest(): boolean {
    return this.role === 'honest' || this.role === 'admin'
  }

  get clock(): Clock {
    const { queue } = this.#sim
    return { wallMs: () => Math.round(EPOCH_MS + queue.nowMs + this.skewMs), monotonicMs: () => queue.nowMs + 1 }
  }

  boot(): void {
    if (this.now !== undefined || this.isDead) return
    this.crashedAtMs = undefined
    this.startedAtMs = this.#sim.queue.nowMs
    this.#sim.note('boot', this)
    const run = new Run()
    this.#sim.process.enter(run, () => this.#start(run))
  }

  /** Loses everything but its disk. */
  crash(): void {
    if (this.now === undefined) return
    this.#sim.note('crash', this)
    this.crashedAtMs = this.#sim.queue.nowMs
    this.now.run.isOver = true
    this.now.mesh.die()
    this.now.stop()
    this.now = undefined
    this.#marks.losePower()
  }

  /** Does something as this host. */
  act(work: (running: Running) => void): void {
    const { now } = this
    if (now !== undefined) this.#sim.process.enter(now.run, () => work(now))
  }

  #start(run: Run): void {
    const sim = this.#sim
    const { identity, clock } = this
    const { key, peer, chain, machine } = identity
    const { oracle } = sim
    const planted = this.role === 'honest' ? sim.planted : {}
    const log = silentLogger
    const metrics = silentMetrics
    const stopping = new AbortController()
    const events = new EventBus(log)
    const file = planted.trustFile?.(new TrustFile(this.#vault), sim) ?? new TrustFile(this.#vault)
    const trust = new Trust(file.state, clock, log)
    trust.admit(chain)
    const liar: Liar | undefined = this.role === 'liar' ? new Liar(sim, this) : undefined
    const verifyChain = (shown: readonly Uint8Array[]): AdmissionVerdict => {
      const verdict = trust.admit(shown)
      if (!verdict.ok && verdict.reason === 'wrong-root') events.emit('unknown-root-shown', {})
      return verdict.ok ? { ok: true, machine: verdict.identity.machine, peer: verdict.identity.peer } : verdict
    }
    const mesh = new SimMesh({
      machine,
      peer,
      run,
      network: sim.network,
      admission: other => ({
        nodeChain: () => liar?.chain() ?? chain,
        verifyChain: planted.verifyChain?.(verifyChain, other) ?? verifyChain,
        onRefused: (by, reason) => events.emit('refused-by-host', { machine: by, reason })
      }),
      seeds: sim.identities.slice(0, SEEDS).flatMap(seed => (seed.machine === machine ? [] : [seed.machine])),
      onOpened: (other, claimed, beganMs) => oracle.onAdmitted(this, other, claimed, beganMs),
      onPinged: (to, answered) => oracle.onPinged(this, to, answered),
      manners: liar
    })
    const state = createRegistry(
      {
        trustDomain: TRUST_DOMAIN,
        self: { peer, machine },
        highWaterMarks: this.#marks.load(),
        sign: bytes => sign(key, CONTEXT.nodeHead, bytes),
        verify: (raw, bytes, signature) => verifySignature(raw, CONTEXT.nodeHead, bytes, signature),
        admit: shown => {
          const verdict = trust.admit(shown)
          return verdict.ok ? verdict.identity : undefined
        },
        leases: LEASES
      },
      { wallMs: clock.wallMs(), monotonicMs: clock.monotonicMs() }
    )
    const members = new MemberStore(this.#store(), state)
    const relay = new AckRelay({
      mesh,
      isMember: other => owner(state, other) !== undefined,
      sign: bytes => sign(key, CONTEXT.relayedAck, bytes),
      verify: (raw, bytes, signature) => verifySignature(raw, CONTEXT.relayedAck, bytes, signature),
      monotonicMs: clock.monotonicMs,
      metrics
    })
    const gathering = gatherOnMesh({
      mesh,
      state,
      peerKey: key,
      monotonicMs: clock.monotonicMs,
      metrics,
      log,
      signal: stopping.signal,
      onAck: (ack, author) => registry.onAck(ack, author),
      sendAck: (to, ack) => ackThrough(mesh, relay, to, ack, stopping.signal)
    })
    const registry: RegistryService = new RegistryService({
      state,
      transport: registryTransport(mesh, relay, gathering),
      saveHighWaterMarks: marks => this.#marks.save(marks),
      deleteHighWaterMark: other => this.#marks.forget(other),
      onChange: ({ owner: other, machine: of, cause, added, removed }) => {
        sim.trace.add(sim.queue.nowMs, 'changed', machine, of, cause)
        events.emit('registry-changed', {
          peer: other,
          machine: of,
          cause,
          added: added.length,
          removed: removed.length
        })
      },
      clock,
      log
    })
    relay.deliverTo((ack, author) => registry.onAck(ack, author))
    const suspect = (other: PeerKey, suspected: boolean): void => {
      sim.trace.add(sim.queue.nowMs, suspected ? 'suspects' : 'shows', machine, sim.machineOf(other))
      if (suspected) oracle.onSuspected(this, other)
      if (!suspected || planted.hidesNobody !== true) registry.suspect(other, suspected)
    }
    const failures = new FailureService({
      mesh: planted.mesh?.(mesh, suspect) ?? mesh,
      members: () => owners(state).flatMap(({ peer: other, self }) => (self ? [] : [other])),
      isMember: other => other !== peer && owner(state, other) !== undefined,
      machineOf: other => owner(state, other)?.machine,
      suspect,
      events,
      clock,
      log
    })
    const isShutOut = (): boolean => evictions.own !== undefined && this.role !== 'rogue'
    const evictions = new Evictions({
      trust: this.role === 'rogue' ? heedless(trust) : trust,
      ownChain: () => chain,
      connected: () => mesh.connected(),
      forget: async other => {
        if (planted.keepsConnections !== true) await mesh.forget(other)
      },
      verifyOwners: () => registry.verifyOwners(),
      forgetMembers: isGone => members.forget(isGone),
      events,
      clock,
      log,
      signal: stopping.signal
    })
    events.on('refused-by-host', ({ machine: by, reason }) => evictions.onRefused(by, reason))
    const { adminKey } = sim.domain
    const ownAdminKey = this.role === 'admin' ? adminKey : undefined
    const membership = { trustDomain: TRUST_DOMAIN, adminKey: ownAdminKey, trust: file }
    const parts = { membership, config: {}, events, vault: this.#vault, clock, log, metrics }
    const policy: PolicyService = new PolicyService({
      trustDomain: TRUST_DOMAIN,
      adminPublicKey: planted.adminPublicKey?.(sim) ?? rawPublicKey(adminKey),
      adminKey: ownAdminKey,
      load: () => {
        if (planted.restoresFirstPolicy === true) this.policyOnDisk = this.#firstPolicy
        return this.policyOnDisk
      },
      save: signed => {
        if (this.role === 'admin') oracle.onSigned(signed)
        this.#firstPolicy ??= signed
        if (planted.savesNoPolicy !== true) this.policyOnDisk = signed
      },
      transport: planted.transport?.(policyTransport(mesh)) ?? policyTransport(mesh),
      sets: adminSetsOn(mesh, parts, state, reason => policy.setsChanged(reason)),
      onBundle: bundle => {
        evictions.onBundle(bundle)
        oracle.onPolicy(this, policy.root ?? bundle)
      },
      onChange: (reason, version) => events.emit('policy-changed', { version, reason }),
      clock,
      log
    })
    const trustService = new TrustService({
      file,
      trust,
      connected: () => mesh.connected(),
      request: async (other, bytes, signal) => {
        if (planted.asksForNoTrust === true) throw new Error('not asked')
        return await askForTrust(mesh, other, bytes, signal)
      },
      ports: () => [],
      askAtPort: async () => [],
      onAccepted: (reason, gone, version) => {
        oracle.onTrust(this, file)
        events.emit('trust-changed', { version, reason, gone })
      },
      clock,
      log,
      signal: stopping.signal
    })
    events.on('unknown-root-shown', () => trustService.suspect())
    const announcer = new Announcer({
      profile: () => ({
        meshAddresses: mesh.addresses(),
        dataAddresses: [`${machine}:7461`],
        capabilities: capabilitiesOf({}),
        policyVersion: liar?.version() ?? policy.version,
        policySets: policy.sets.digest,
        trustVersion: liar?.version() ?? trustService.version,
        draining: false,
        jwtKeys: [],
        softwareVersion: '',
        protocolVersions: [],
        nodeChain: chain
      }),
      isShutOut,
      announce: profile => registry.announce(profile),
      log
    })
    new Enforcement({
      events,
      proxy: { reevaluate: () => {}, countCuts: () => () => 0, registrationEnded: () => {} },
      evictions,
      workloads: { review: async () => {} },
      applied: { begin: () => () => {} },
      registry: { verifyOwners: () => registry.verifyOwners(), delete: id => registry.delete(id) },
      disconnect: other => mesh.cutOff(other),
      health: { remove: () => {} },
      svids: [],
      trustChanged: () => {},
      announce: () => announcer.announce(),
      log
    }).start()
    followRegistry({
      events,
      ownerOf: other => owner(state, other),
      isConnected: other => mesh.isConnected(other),
      addHints: addresses => mesh.addHints(addresses),
      members,
      authorities: { note: () => {} },
      policy,
      trust: trustService,
      failures
    })
    wireMesh(mesh, registry, policy, trustService, () => {}, log)
    if (planted.hearsNoPolicy === true) mesh.onGossip('policy', () => 'ignore')
    wireTrust(mesh, trustService)
    mesh.onConnect((other, of) => {
      sim.trace.add(sim.queue.nowMs, 'connected', machine, of)
      evictions.onAdmitted()
      evictions.checkPeer(other)
      events.emit('host-connected', { peer: other, machine: of })
    })
    policy.start()
    oracle.onTrust(this, file)
    this.now = {
      run,
      mesh,
      state,
      registry,
      trust,
      trustService,
      policy,
      failures,
      liar,
      stop: () => {
        stopping.abort()
        failures.stop()
        policy.stop()
        registry.stop()
      }
    }
    detach(log, 'mesh', mesh.start())
    mesh.addHints(members.addresses())
    registry.start()
    failures.start()
    announcer.begin()
    const catchUps = loop(log, 'trust', { intervalMs: () => 1_000, signal: stopping.signal }, signal =>
      trustService.catchUp(signal)
    )
    detach(log, 'trust', catchUps, stopping.signal)
    liar?.begin(this.now)
  }

  // What is used of the database.
  #store(): Store {
    const known = new Map<PeerKey, { readonly peer: PeerKey; readonly machine: string; readonly addresses: string[] }>()
    for (const [name, value] of this.#settings) known.set(name as PeerKey, JSON.parse(Buffer.from(value).toString()))
    const store: Pick<Store, 'members' | 'rememberMembers' | 'forgetMembers'> = {
      members: () => [...known.values()],
      rememberMembers: members => {
        for (const member of members) this.#settings.set(member.peer, Buffer.from(JSON.stringify(member)))
      },
      forgetMembers: peers => {
        for (const other of peers) this.#settings.delete(other)
      }
    }
    return store as Store
  }
}

/** As a host whose program does not do what the policy says of it: it admits and keeps whom it likes. */
function heedless(trust: Trust): Trust {
  return Object.create(trust, {
    setRevocations: { value: () => {} },
    revokedPeer: { value: () => undefined },
    verify: { value: (chain: readonly Uint8Array[]) => trust.verify(chain) }
  }) as Trust
}

/** The files of a state directory in memory, as far as they are used here. */
function memoryVault(files: Map<VaultFile, Buffer>): Vault {
  const vault = {
    directory: '/state',
    path: (name: string) => `/state/${name}`,
    has: (name: VaultFile) => files.has(name),
    read: (name: VaultFile) => files.get(name),
    require: (name: VaultFile) => {
      const content = files.get(name)
      if (content === undefined) throw new Error(`${name} is missing`)
      return content
    },
    write: (name: VaultFile, content: Uint8Array | string) => void files.set(name, Buffer.from(content)),
    remove: (name: VaultFile) => void files.delete(name)
  }
  return vault as unknown as Vault
}

/** Hex, of what an admin or a root has signed. */
export function fingerprint(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
