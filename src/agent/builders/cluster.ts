import {
  AckRelay,
  AuthorityStore,
  Authorizer,
  ackThrough,
  adminSetsOn,
  Evictions,
  FailureService,
  followRegistry,
  gatherOnMesh,
  HeardMembers,
  type Inquiries,
  inquiriesOnMesh,
  LostHosts,
  MemberStore,
  PolicyService,
  PolicyStore,
  policyTransport,
  RegistryService,
  Routing,
  RuleUse,
  registryTransport,
  Trust,
  type Versioned
} from '../../cluster/index.ts'
import { CONTEXT, type PeerKey, sign, verifySignature } from '../../identity/index.ts'
import { createMesh, type Mesh } from '../../mesh/index.ts'
import { createRegistry, owner, owners, type RegistryState } from '../../registry/index.ts'
import type { Base } from './base.ts'

/** The state that hosts agree on, and the parts that exchange it. */
export interface Cluster {
  readonly trust: Trust
  readonly mesh: Mesh
  readonly state: RegistryState
  readonly routing: Routing
  readonly members: MemberStore
  readonly lost: LostHosts
  readonly heard: HeardMembers
  readonly authorityStore: AuthorityStore
  readonly registry: RegistryService
  readonly failures: FailureService
  readonly evictions: Evictions
  readonly policy: PolicyService
  readonly policyStore: PolicyStore
  readonly authorizer: Authorizer
  readonly ruleUse: RuleUse
  readonly inquiries: Inquiries
}

// The size of one gossip message of the mesh.
const MAX_GOSSIP_BYTES = 64 * 1024

/** Makes the parts that hosts agree by, and starts none of them. */
export async function buildCluster(base: Base): Promise<Cluster> {
  const { membership, vault, store, events, metrics, clock, hostClock, clockKeeper, log } = base
  const { credentials, trust: trustFile } = membership
  const trust = new Trust(trustFile.state, clock, log)
  trust.admit(credentials.node.chainDer)
  const mesh = await buildMesh(base, trust)
  const state = buildRegistryState(base, trust)
  const routing = new Routing(state)
  const members = new MemberStore(store, state)
  const lost = new LostHosts(hostClock)
  const relay = new AckRelay({
    mesh,
    isMember: peer => owner(state, peer) !== undefined,
    sign: bytes => sign(membership.peerKey, CONTEXT.relayedAck, bytes),
    verify: (key, bytes, signature) => verifySignature(key, CONTEXT.relayedAck, bytes, signature),
    monotonicMs: clock.monotonicMs,
    metrics
  })
  const sendAck = (to: PeerKey, ack: Uint8Array) => ackThrough(mesh, relay, to, ack, base.stopping)
  const { peerKey } = membership
  const ofMesh = { mesh, state, peerKey, monotonicMs: clock.monotonicMs, metrics, log, signal: base.stopping }
  const gathering = gatherOnMesh({ ...ofMesh, onAck: (ack, author) => registry.onAck(ack, author), sendAck })
  const registry: RegistryService = new RegistryService({
    state,
    transport: registryTransport(mesh, relay, gathering),
    saveHighWaterMarks: highWaterMarks => store.raiseHighWaterMarks(highWaterMarks),
    deleteHighWaterMark: peer => store.deleteHighWaterMark(peer),
    onChange: ({ owner: peer, machine, cause, added, removed, last }) => {
      if (last === undefined) lost.seen(machine, added, removed)
      else lost.dropped(last, cause, removed)
      events.emit('registry-changed', { peer, machine, cause, added: added.length, removed: removed.length })
      if (cause !== 'expired' && cause !== 'revoked' && cause !== 'left') return
      if (cause === 'left') log.info('host left', { peer, machine })
      else log.warn('host lost: its services are gone', { peer, machine, reason: cause })
      events.emit('host-lost', { peer, machine, cause })
    },
    clock: hostClock,
    log,
    metrics
  })
  relay.deliverTo((ack, author) => registry.onAck(ack, author))
  const failures = new FailureService({
    mesh,
    members: () => owners(state).flatMap(({ peer, self }) => (self ? [] : [peer])),
    isMember: peer => peer !== credentials.node.peer && owner(state, peer) !== undefined,
    machineOf: peer => owner(state, peer)?.machine,
    suspect: (peer, suspected) => registry.suspect(peer, suspected),
    events,
    clock: hostClock,
    log,
    metrics
  })
  const evictions = new Evictions({
    trust,
    ownChain: () => credentials.node.chainDer,
    connected: () => mesh.connected(),
    forget: peer => mesh.forget(peer),
    verifyOwners: () => registry.verifyOwners(),
    forgetMembers: isGone => members.forget(isGone),
    events,
    clock,
    log,
    signal: base.stopping
  })
  events.on('refused-by-host', ({ machine, reason }) => evictions.onRefused(machine, reason))
  const { trustDomain } = membership
  const { adminPublicKey } = trustFile.state
  const policyStore = new PolicyStore({ vault, store, trustDomain, adminPublicKey, log })
  const others = () => owners(state).filter(({ self }) => !self)
  // A host that was admitted since the loss knows no more than this one.
  const isNewcomer = (machine: string | undefined): boolean =>
    machine !== undefined && store.joins.lastOf(machine) !== undefined
  const ruleUse = new RuleUse(hostClock.wallMs())
  const policy: PolicyService = new PolicyService({
    trustDomain,
    adminPublicKey,
    adminKey: membership.adminKey,
    load: () => policyStore.load(),
    save: signed => policyStore.save(signed),
    isUnheard: () => policyStore.isUnheard,
    onHeard: peer => {
      if (policy.bundle !== undefined || !isNewcomer(trust.machineOf(peer))) policyStore.noteHeard()
    },
    restart: {
      informed: () => {
        const there = [
          ...mesh.connected().map(peer => trust.machineOf(peer) ?? peer),
          ...others().map(({ machine }) => machine)
        ]
        return [...new Set(there)].filter(machine => !isNewcomer(machine))
      },
      highestVersion: () => others().reduce((highest, { policyVersion: v }) => (v > highest ? v : highest), 0n),
      onDone: () => policyStore.noteHeard()
    },
    transport: policyTransport(mesh),
    sets: adminSetsOn(mesh, base, state, reason => policy.setsChanged(reason)),
    onBundle: bundle => {
      evictions.onBundle(bundle)
      ruleUse.follow(bundle)
    },
    onRefused: (reason, version) => {
      log.error('a signed policy is not taken: the former one stays in force', {
        policyVersion: String(version),
        reason
      })
      events.emit('policy-refused', { version, reason })
    },
    onChange: (reason, version) => {
      clockKeeper.save()
      events.emit('policy-changed', { version, reason })
    },
    clock,
    log
  })
  const authorizer = new Authorizer(policy, routing, clock)
  const inquiries = inquiriesOnMesh({ ...base, trustDomain, mesh, registry, lost, failures, policy })
  const authorityStore = new AuthorityStore(store)
  return {
    trust,
    mesh,
    state,
    routing,
    members,
    lost,
    heard: new HeardMembers(state),
    authorityStore,
    registry,
    failures,
    evictions,
    policy,
    policyStore,
    authorizer,
    ruleUse,
    inquiries
  }
}

/** Subscribes the parts of the cluster to each other's changes. Call it after enforcement has subscribed. */
export function followCluster({ events }: Base, cluster: Cluster, trust: Versioned): void {
  const { mesh, state, members, authorityStore, policy, failures } = cluster
  followRegistry({
    events,
    ownerOf: peer => owner(state, peer),
    isConnected: peer => mesh.isConnected(peer),
    addHints: addresses => mesh.addHints(addresses),
    members,
    authorities: authorityStore,
    policy,
    trust,
    failures
  })
}

async function buildMesh(
  { config, membership, addresses, events, onProgress, restart, clock, log, metrics }: Base,
  trust: Trust
): Promise<Mesh> {
  const { credentials } = membership
  return await createMesh({
    peerKey: membership.peerKey,
    trustDomain: membership.trustDomain,
    listen: config.listen,
    advertise: () => addresses.of(config.listen.host),
    mdns: config.mdns,
    bootstrap: config.bootstrap,
    handover: restart?.handover,
    nodeChain: () => credentials.node.chainDer,
    verifyChain: chain => {
      const verdict = trust.admit(chain)
      if (!verdict.ok && verdict.reason === 'wrong-root') events.emit('unknown-root-shown', {})
      return verdict.ok ? { ok: true, machine: verdict.identity.machine, peer: verdict.identity.peer } : verdict
    },
    onRefused: (machine, reason) => {
      events.emit('refused-by-host', { machine, reason })
      onProgress({ waitsFor: 'member', addresses: [], machine, problem: `it refuses this host: ${reason}` })
    },
    onDialFailed: (failed, err) => {
      onProgress({ waitsFor: 'member', addresses: failed, problem: problemOf(err) })
    },
    log,
    metrics,
    clock
  })
}

function problemOf(err: unknown): string {
  if (!(err instanceof Error)) return String(err)
  // Something that accepts connections, and is no agent or one of another mesh.
  return err.name === 'EncryptionFailedError' ? `no agent of this mesh answers there (${err.message})` : err.message
}

function buildRegistryState({ membership, store, events, hostClock }: Base, trust: Trust): RegistryState {
  const { credentials, trustDomain, machine, peerKey } = membership
  return createRegistry(
    {
      trustDomain,
      // A renewal does not change it: an authority refuses that.
      self: { peer: credentials.node.peer, machine },
      highWaterMarks: store.highWaterMarks(),
      sign: bytes => sign(peerKey, CONTEXT.nodeHead, bytes),
      verify: (key, bytes, signature) => verifySignature(key, CONTEXT.nodeHead, bytes, signature),
      admit: chain => {
        const verdict = trust.admit(chain)
        if (!verdict.ok && verdict.reason === 'wrong-root') events.emit('unknown-root-shown', {})
        return verdict.ok ? verdict.identity : undefined
      },
      limits: { maxGossipBytes: MAX_GOSSIP_BYTES }
    },
    { wallMs: hostClock.wallMs(), monotonicMs: hostClock.monotonicMs() }
  )
}
