import { serveAdminApi, serveSpiffeApi, serveWorkloadApi } from '../api/index.ts'
import { type Broker, createBroker, probeTarget } from '../broker/index.ts'
import { type Clock, detach, type Logger, within } from '../core/index.ts'
import { Attestor, listenerOf, ProcessWatch, peerCredentials } from '../identity/attest/index.ts'
import {
  askForRenewal,
  askForSuccession,
  CONTEXT,
  RENEW_ALPN,
  SessionTokens,
  sign,
  verifySignature
} from '../identity/index.ts'
import { createMesh } from '../mesh/index.ts'
import { createRegistry, owner, owners } from '../registry/index.ts'
import { AckRelay } from './ack-relay.ts'
import { formatHostPort, reachableHosts } from './addresses.ts'
import { AdmissionOffice } from './admission-office.ts'
import { Authorities, AuthorityDesk, askAuthority, IssuedBook, wireAuthorities } from './authorities/index.ts'
import { Authorizer } from './authorizer.ts'
import { backupOf } from './backup/index.ts'
import { brokerDeps } from './broker-deps.ts'
import { certifier } from './certify.ts'
import type { HostPort, ResolvedConfig } from './config.ts'
import { Drain } from './drain.ts'
import { Evictions } from './evictions.ts'
import { FailureService } from './failure/index.ts'
import { HealthService } from './health/index.ts'
import { localHandlers } from './local-handlers.ts'
import { MemberBook } from './member-book.ts'
import { dialAgent, type Membership } from './membership/index.ts'
import { policyTransport, registryTransport, wireMesh } from './mesh-wiring.ts'
import { collect, PromMetrics, watchProcess } from './metrics/index.ts'
import { PolicyService } from './policy-service.ts'
import { Readiness } from './readiness.ts'
import { RegistryService } from './registry-service.ts'
import { askOverMesh, authoritiesOf, wireRenewals } from './renewal-wiring.ts'
import { askForTrust, RootRotation, TrustService, wireTrust } from './roots/index.ts'
import { AUTHORITY_CAPABILITY, AuthorityBook, Renewal, RenewalDesk, Rotation } from './rotation/index.ts'
import { Routing } from './routing.ts'
import { spiffeHandlers } from './spiffe/handlers.ts'
import { signJwt } from './spiffe/jwt.ts'
import type { Store } from './state/store.ts'
import type { Vault } from './state/vault.ts'
import { Svids } from './svids.ts'
import { Trust } from './trust.ts'
import { codeAfter, Grants, type Workload, Workloads } from './workloads/index.ts'

export interface Parts {
  readonly config: ResolvedConfig
  readonly listenDir: string
  readonly vault: Vault
  readonly store: Store
  readonly membership: Membership
  /** Members that the authority named when this host joined just now. */
  readonly meshAddresses: readonly string[]
  readonly clock: Clock
  readonly log: Logger
  /** Takes up what must be ended, in the order of its start. */
  readonly resources: AsyncDisposableStack
}

const POLICY_SETTING = 'policy'
/** Sessions prove new certificates within five seconds, heads are with everybody before that. */
const MAX_SETTLE_MS = 10_000
/** Of a TLS connection to the data port of an authority. */
const DIAL_TIMEOUT_MS = 5_000
// What the mesh carries in one gossip message.
const MAX_GOSSIP_BYTES = 64 * 1024

/** Makes the parts of an agent, joins them and starts them, leaf first; resolves once the agent serves. */
export async function assemble(parts: Parts): Promise<{
  readonly machine: string
  readonly trustDomain: string
  readonly meshAddresses: () => string[]
  readonly dataAddress: () => HostPort
  readonly drain: (timeoutMs: number) => Promise<void>
}> {
  const { config, vault, store, membership, clock, log, resources } = parts
  const { trustDomain, machine, trust: trustFile, credentials, jwtKeys } = membership
  const { lifetimes } = config
  // Neither changes with a renewal: an authority does not let it.
  const { peer: self, scopes } = credentials.node
  const stopping = new AbortController()
  resources.defer(() => stopping.abort())
  const metrics = new PromMetrics(log, clock)
  resources.defer(watchProcess(metrics, clock))
  const trust = new Trust(trustFile.state, clock, log)
  trust.admit(credentials.node.chainDer)

  const mesh = await createMesh({
    peerKey: membership.peerKey,
    trustDomain,
    listen: config.listen,
    ...(config.advertise === undefined ? {} : { advertise: config.advertise }),
    mdns: config.mdns,
    bootstrap: config.bootstrap,
    nodeChain: () => credentials.node.chainDer,
    judge: chain => {
      const verdict = trust.admit(chain)
      if (!verdict.ok && verdict.reason === 'wrong-root') trustService.suspect()
      return verdict.ok ? { ok: true, machine: verdict.identity.machine, peer: verdict.identity.peer } : verdict
    },
    onRefused: (host, reason) => evictions.onRefused(host, reason),
    log,
    metrics,
    clock
  })

  const state = createRegistry(
    {
      trustDomain,
      self: { peer: self, machine },
      marks: store.marks(),
      sign: bytes => sign(membership.peerKey, CONTEXT.nodeHead, bytes),
      verify: (key, bytes, signature) => verifySignature(key, CONTEXT.nodeHead, bytes, signature),
      admit: chain => {
        const verdict = trust.admit(chain)
        if (!verdict.ok && verdict.reason === 'wrong-root') trustService.suspect()
        return verdict.ok ? verdict.identity : undefined
      },
      limits: { maxGossipBytes: MAX_GOSSIP_BYTES }
    },
    { wallMs: clock.wallMs(), monotonicMs: clock.monotonicMs() }
  )
  const routing = new Routing(state)
  const book = new MemberBook(store, state)
  const authorityBook = new AuthorityBook(store)
  let broker: Broker | undefined

  const ackRelay = new AckRelay({
    mesh,
    isMember: peer => owner(state, peer) !== undefined,
    sign: bytes => sign(membership.peerKey, CONTEXT.relayedAck, bytes),
    verify: (key, bytes, signature) => verifySignature(key, CONTEXT.relayedAck, bytes, signature),
    onAck: (ack, author) => registry.onAck(ack, author),
    monotonicMs: clock.monotonicMs,
    metrics
  })
  const registry: RegistryService = new RegistryService({
    state,
    transport: registryTransport(mesh, ackRelay),
    saveMarks: marks => store.raiseMarks(marks),
    forgetMark: peer => store.forgetMark(peer),
    onChange: change => {
      mesh.addHints(book.note(change.owner))
      const view = owner(state, change.owner)
      if (view !== undefined) authorityBook.note(view)
      followPolicy(change.owner)
      if ((view?.trustVersion ?? 0n) > trustService.version && mesh.isConnected(change.owner))
        trustService.pull(change.owner)
      if (change.cause === 'head' || change.cause === 'set') failures.heard(change.owner)
      if (change.removed.length > 0) broker?.reassert(`registry: ${change.cause} of ${change.machine}`)
    },
    clock,
    log,
    metrics
  })
  const failures: FailureService = new FailureService({
    mesh,
    members: () => owners(state).flatMap(({ peer, self }) => (self ? [] : [peer])),
    isMember: peer => peer !== self && owner(state, peer) !== undefined,
    machineOf: peer => owner(state, peer)?.machine,
    suspect: (peer, suspected) => registry.suspect(peer, suspected),
    clock,
    log,
    metrics
  })
  const evictions: Evictions = new Evictions({
    trust,
    ownChain: () => credentials.node.chainDer,
    connected: () => mesh.connected(),
    forget: peer => mesh.forget(peer),
    judgeOwners: () => registry.judgeOwners(),
    forgetMembers: isGone => book.forget(isGone),
    clock,
    log,
    signal: stopping.signal
  })
  const policy = new PolicyService({
    trustDomain,
    adminPublicKey: trustFile.state.adminPublicKey,
    adminKey: membership.adminKey,
    load: () => store.setting(POLICY_SETTING),
    save: signed => store.setSetting(POLICY_SETTING, signed),
    transport: policyTransport(mesh),
    onBundle: bundle => evictions.onBundle(bundle),
    onChange: reason => {
      // First, while the records still are there: so a flow is told that its other end was revoked, not that it is gone.
      broker?.reassert(reason)
      evictions.carryOut()
      workloads.review()
      announce()
    },
    clock,
    log
  })
  const authorizer = new Authorizer(policy, routing, clock)
  const certify = evictions.guard(certifier(credentials, lifetimes.svidMs, clock))
  const svids = new Svids(certify, clock)
  // Of keys that leave this process; the broker's stay here.
  const exportedSvids = new Svids(certify, clock)
  const dataAddresses = (): string[] => {
    const bound = broker?.dataAddress() ?? config.dataListen
    return reachableHosts(bound.host, config.advertise).map(host => formatHostPort({ host, port: bound.port }))
  }
  const office = new AdmissionOffice({
    membership,
    store,
    dataAddresses,
    meshAddresses: () => mesh.addresses(),
    isTaken: name => routing.peerOf(name) !== undefined,
    revocations: () => trust.state.revocations,
    lifetimeMs: lifetimes.nodeMs,
    clock,
    log,
    metrics
  })
  const desk = new RenewalDesk({ credentials, trust, lifetimes, tokens: () => store.tokens(), clock, log, metrics })
  const dialRenewal = async (address: string, signal: AbortSignal) =>
    await within(DIAL_TIMEOUT_MS, [signal], limit => dialAgent(address, RENEW_ALPN, limit))
  const trustService: TrustService = new TrustService({
    file: trustFile,
    trust,
    connected: () => mesh.connected(),
    request: (peer, bytes, signal) => askForTrust(mesh, peer, bytes, signal),
    ports: () => authorityBook.addresses(),
    askAtPort: async (address, signal) => await askForSuccession(await dialRenewal(address, signal), signal),
    onAccepted: (reason, gone) => {
      broker?.reassert(reason)
      registry.judgeOwners()
      for (const peer of gone) {
        if (mesh.isConnected(peer)) detach(log, 'connection of a host below a former root', mesh.disconnect(peer))
      }
      announce()
      rotation.trustChanged(stopping.signal)
    },
    clock,
    log,
    signal: stopping.signal
  })
  const rootRotation = new RootRotation({
    vault,
    credentials,
    trust,
    service: trustService,
    owners: () => owners(state),
    known: () => book.all(),
    settleMs: Math.min(MAX_SETTLE_MS, lifetimes.nodeMs / 10),
    clock,
    log
  })
  rootRotation.tidy()
  const issued = new IssuedBook(store)
  const authorityDesk = new AuthorityDesk({
    self,
    credentials,
    trust,
    lifetimes,
    issued,
    announce: () => announce(),
    clock,
    log
  })
  const authorities = new Authorities({
    credentials,
    trust,
    lifetimes,
    issued,
    owners: () => owners(state),
    ask: (peer, request, signal) => askAuthority(mesh, authorityDesk, peer, request, signal),
    clock,
    log
  })
  const renewal = new Renewal({
    trustDomain,
    credentials,
    peerKey: membership.peerKey,
    lifetimes,
    trust: () => trust.state,
    trustSinceMs: () => trustService.adoptedAtMs,
    desk,
    authorities: () => authoritiesOf(owners(state), mesh),
    ask: (peer, request, signal) => askOverMesh(mesh, peer, request, signal),
    ports: () => authorityBook.addresses(),
    askAtPort: async (address, request, signal) => {
      const follow = (succession: readonly Uint8Array[]) => {
        trustService.take(succession)
        return trust.state
      }
      return await askForRenewal(await dialRenewal(address, signal), request, follow, clock.wallMs(), signal)
    },
    askForAuthority: (peer, authority, signal) => authorities.renewAt(peer, authority, signal),
    isFounder: membership.adminKey !== undefined,
    stateDir: config.stateDir,
    clock,
    log,
    metrics
  })
  const rotation = new Rotation({
    renewal,
    credentials,
    jwtKeys,
    lifetimes,
    svids: [svids, exportedSvids],
    trust,
    connected: () => mesh.connected(),
    disconnect: peer => mesh.disconnect(peer),
    onRenewed: async () => {
      trust.admit(credentials.node.chainDer)
      await office.renew()
      announce()
    },
    announce: () => announce(),
    catchUp: signal => trustService.catchUp(signal),
    onRound: () => {
      detach(log, 'agent certificate', office.renew(), stopping.signal)
      detach(log, 'session proofs', data.proveAgain(), stopping.signal)
    },
    clock,
    log
  })
  const grants = new Grants({
    scopes,
    agentUid: process.getuid?.() ?? 0,
    entries: () => policy.bundle ?? { entries: [], strict: false },
    requireStanding: spiffeId => evictions.requireStanding(spiffeId),
    attestor: new Attestor(clock)
  })
  const health = new HealthService({
    async probe({ target, check }, signal) {
      if (target === undefined || target.kind === 'udp' || check === undefined) return
      await probeTarget(target, check, { listenerOf }, signal)
    },
    onChange: (workload, verdict) => registry.put(toRecord(workload, verdict)),
    clock,
    log
  })
  resources.defer(() => health.stop())
  const workloads: Workloads = new Workloads({
    trustDomain,
    machine,
    grants,
    listenDir: parts.listenDir,
    runtimeDir: config.runtimeDir,
    tokens: new SessionTokens(membership.nodeSecret),
    processes: new ProcessWatch(),
    limits: config.limits.workloads,
    onAdded: workload => {
      registry.put(toRecord(workload, 'passing'))
      health.add(workload)
      svids.add(workload.registrationId, workload.spiffeId)
      exportedSvids.add(workload.registrationId, workload.spiffeId)
      metrics.count('warren_registrations_total', {})
    },
    onEnded: (workload, reason) => {
      metrics.count('warren_registrations_ended_total', { reason })
      health.remove(workload.registrationId)
      broker?.registrationEnded(workload.registrationId, reason, codeAfter(reason))
      svids.remove(workload.registrationId)
      exportedSvids.remove(workload.registrationId)
      registry.delete(workload.registrationId)
    },
    clock,
    log
  })
  broker = createBroker(
    brokerDeps({
      machine,
      config,
      mesh,
      registry,
      failures,
      routing,
      workloads,
      health,
      svids,
      trust,
      authorizer,
      office,
      desk,
      succession: () => trustFile.succession,
      clock,
      log,
      metrics
    })
  )
  const data = broker

  let announcing = false
  const announce = (): void => {
    // A host that was evicted, or whose certificate has ended, has nothing to say that anybody would hear.
    if (!announcing || evictions.own !== undefined || renewal.isShutOut) return
    registry.announce(profile())
  }
  const profile = () => ({
    meshAddresses: mesh.addresses(),
    dataAddresses: dataAddresses(),
    capabilities: ['tcp', ...(desk.isOpen ? [AUTHORITY_CAPABILITY] : [])],
    policyVersion: policy.version,
    trustVersion: trustService.version,
    draining: drain.isOn,
    jwtKeys: jwtKeys.published(),
    nodeChain: credentials.node.chainDer
  })
  const followPolicy = (peer: typeof self): void => {
    const ahead = (owner(state, peer)?.policyVersion ?? 0n) > policy.version
    if (ahead && mesh.isConnected(peer)) policy.pull(peer)
  }

  const drain = new Drain({ broker: data, onChange: () => announce(), log })
  const readiness = new Readiness()
  const synchronised = Promise.withResolvers<void>()
  wireMesh(mesh, registry, policy, synchronised.resolve, log)
  wireRenewals(mesh, desk)
  wireAuthorities(mesh, authorityDesk)
  wireTrust(mesh, trustService)
  mesh.onConnect((peer, name) => {
    // What reaches the mesh port most likely reaches the data port again.
    data.pathAppeared(name)
    evictions.onAdmitted()
    // Between its admission and now the policy may have changed.
    evictions.checkPeer(peer)
  })
  mesh.onStream((stream, peer, via) => data.acceptCarrier(stream, peer, via))

  policy.start()
  resources.defer(() => policy.stop())
  await office.renew()
  resources.defer(() => mesh.stop())
  await mesh.start()
  await data.start()
  resources.defer(() => data.stop())
  registry.start()
  resources.defer(() => registry.stop())
  failures.start()
  resources.defer(() => failures.stop())
  announcing = true
  announce()
  rotation.start(stopping.signal)
  const hints = [...parts.meshAddresses, ...book.addresses()]
  mesh.addHints(hints)
  workloads.start()
  resources.defer(() => workloads.stop())

  const handlers = localHandlers({
    membership,
    mesh,
    registry,
    routing,
    policy,
    authorizer,
    office,
    workloads,
    broker: data,
    trust,
    book,
    evictions,
    failures,
    readiness,
    drain,
    metrics,
    renewal,
    rotation,
    authorities,
    rootRotation,
    dataAddresses,
    backup: passphrase => backupOf({ vault, store, trustDomain, machine }, passphrase, clock.wallMs()),
    clock,
    log
  })
  const shared = { runtimeDir: config.runtimeDir, credentials: peerCredentials, log, metrics }
  const api = await serveWorkloadApi({ ...shared, handlers: handlers.workload })
  resources.defer(() => api.close())
  const adminApi = await serveAdminApi({ ...shared, handlers: handlers.admin })
  resources.defer(() => adminApi.close())
  const spiffe = spiffeHandlers({
    trustDomain,
    registrations: () => workloads.all(),
    svids: exportedSvids,
    roots: () => trust.state.roots.map(({ der }) => der),
    jwt: (spiffeId, audience) => signJwt(jwtKeys.signing, spiffeId, audience, clock.wallMs(), jwtKeys.tokenMs),
    jwtHosts: () =>
      owners(state).map(({ machine: name, identity, jwtKeys }) => ({
        machine: name,
        scopes: identity.scopes,
        jwtKeys
      })),
    changed: () => Promise.race([registry.changed(), rotation.changed()]),
    nowMs: () => clock.wallMs()
  })
  const spiffeApi = await serveSpiffeApi({ ...shared, handlers: spiffe })
  resources.defer(() => spiffeApi.close())
  collect(metrics, {
    state,
    underWay: () => registry.underWay,
    mesh,
    workloads,
    broker: data,
    policyVersion: () => policy.version,
    certificates: () => rotation.certificates(),
    sockets: { agent: api, admin: adminApi, spiffe: spiffeApi },
    clock
  })
  resources.defer(() => readiness.drain())

  const alone = hints.length === 0 && config.bootstrap.length === 0
  const known = alone ? 'alone' : parts.meshAddresses.length > 0 ? 'joiner' : 'member'
  await readiness.begin(known, synchronised.promise, log, stopping.signal)
  log.info('agent ready', { machine, trustDomain, peer: self, addresses: mesh.addresses() })
  return {
    machine,
    trustDomain,
    meshAddresses: () => mesh.addresses(),
    dataAddress: () => data.dataAddress(),
    async drain(timeoutMs) {
      readiness.drain()
      await drain.begin(timeoutMs, 'all')
    }
  }
}

function toRecord(workload: Workload, health: 'passing' | 'failing') {
  const { registrationId, address, protocols, whitelist, labels, registeredAtMs, ttlMs } = workload
  return { registrationId, address, protocols, whitelist, health, labels, registeredAtMs, ttlMs }
}
