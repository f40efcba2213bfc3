import type { Membership } from '../ca/index.ts'
import { AddressWatch, AnnouncedHosts, type Announcer, Enforcement, handOnRegistry } from '../cluster/index.ts'
import { type Clock, detach, formatHostPort, type HostPort, type Logger, raceAbort, within } from '../core/index.ts'
import { DeclaredItems, Reload, type ReloadResult } from '../declared/index.ts'
import { EventBus, EventHistory } from '../events/index.ts'
import { collect, countEvents, PromMetrics, watchProcess } from '../metrics/index.ts'
import { collectAllGarbage, type DataPlane, Drain } from '../proxy/index.ts'
import type { Restart } from '../restart/index.ts'
import type { Store, Vault } from '../state/index.ts'
import { openTraces } from '../traces/index.ts'
import { type ClockKeeper, DescriptorWatch, giveBackMemory, readResources } from '../upkeep/index.ts'
import {
  type Base,
  buildAnnouncer,
  buildAudit,
  buildCa,
  buildCluster,
  buildProxy,
  buildWorkloads,
  type Ca,
  type Cluster,
  followCluster,
  serveApi,
  serveMetrics,
  stateOf,
  type Wired,
  type WorkloadParts,
  wireParts
} from './builders/index.ts'
import type { ResolvedConfig } from './config.ts'
import type { StartProgress } from './start-progress.ts'

export interface Parts {
  readonly config: ResolvedConfig
  readonly listenDir: string
  readonly vault: Vault
  readonly store: Store
  readonly membership: Membership
  /** Members that the authority named when this host joined just now. */
  readonly meshAddresses: readonly string[]
  /** The database was lost, and the operator has accepted that. */
  readonly isDatabaseLost: boolean
  /** The clock of the host. */
  readonly clock: Clock
  readonly clockKeeper: ClockKeeper
  /** Called with what the start waits for. */
  readonly onProgress: (progress: StartProgress) => void
  readonly restart: Restart | undefined
  readonly log: Logger
  /** Collects the resources to dispose, in the order of their start. */
  readonly resources: AsyncDisposableStack
}

/** A running agent, without the parts that its owner adds. */
export interface Assembled {
  readonly machine: string
  readonly trustDomain: string
  readonly meshAddresses: () => string[]
  readonly dataAddress: () => HostPort
  readonly drain: (timeoutMs: number) => Promise<void>
  readonly reload: () => Promise<ReloadResult>
}

/** Time for the first attempts of what files declare, in milliseconds; they continue afterwards. */
const FIRST_ATTEMPTS_MS = 3_000

/** Every part of an agent, made and not started. */
interface Built {
  readonly base: Base
  readonly cluster: Cluster
  readonly ca: Ca
  readonly local: WorkloadParts
  readonly proxy: DataPlane
  readonly drain: Drain
  readonly declared: DeclaredItems
  readonly reload: Reload
  readonly announcer: Announcer
  readonly dataAddresses: () => string[]
}

/**
 * Makes the parts of an agent, joins them and starts them, leaf first; resolves once the agent serves.
 *
 * Each builder uses only earlier parts. A message for a part that is built later goes over the events; `cluster/enforcement.ts`
 * has the consequences of a change.
 */
export async function assemble(parts: Parts): Promise<Assembled> {
  const built = await build(parts)
  const { cluster, proxy, drain } = built
  subscribe(built)
  const wired = wireParts(built)
  await start(built, parts)
  await serve(built, wired, parts.meshAddresses)
  const { machine, trustDomain } = parts.membership
  const signal = built.base.stopping
  return {
    machine,
    trustDomain,
    meshAddresses: () => cluster.mesh.addresses(),
    dataAddress: () => proxy.dataAddress(),
    reload: () => built.reload.run(),
    async drain(timeoutMs) {
      if (parts.restart?.isAsked === true) return void (await proxy.drain({ flows: 'others', timeoutMs, signal }))
      wired.readiness.drain()
      await drain.begin(timeoutMs, 'all')
    }
  }
}

async function build(parts: Parts): Promise<Built> {
  const { config, clock: hostClock, clockKeeper, log, resources } = parts
  resources.defer(() => clockKeeper.stop())
  clockKeeper.start()
  const { clock } = clockKeeper
  const stopping = new AbortController()
  resources.defer(() => stopping.abort())
  const metrics = new PromMetrics(log, hostClock)
  resources.defer(watchProcess(metrics, hostClock))
  const descriptors = new DescriptorWatch({ max: readResources().maxOpenFiles, clock: hostClock, log })
  descriptors.start()
  resources.defer(() => descriptors.stop())
  const events = new EventBus(log)
  const addresses = new AnnouncedHosts({ advertise: config.advertise, log })
  const history = new EventHistory(hostClock)
  const unaudited = {
    ...parts,
    clock,
    hostClock,
    addresses,
    events,
    history,
    metrics,
    descriptors,
    stopping: stopping.signal
  }
  const base: Base = { ...unaudited, audit: await buildAudit(unaudited), tracer: await openTraces(unaudited) }
  const cluster = await buildCluster(base)
  // The address of the data port, once it is bound: with port 0 nobody knows it before.
  let bound = config.dataListen
  const dataAddresses = (): string[] => addresses.of(bound.host).map(host => formatHostPort({ host, port: bound.port }))
  const ca = buildCa(base, cluster, dataAddresses)
  const local = buildWorkloads(base, cluster)
  const made = buildProxy({ base, cluster, ca, local })
  const proxy: DataPlane = {
    ...made,
    async start() {
      await made.start()
      bound = made.dataAddress()
    }
  }
  const drain = new Drain({ proxy, onChange: () => events.emit('profile-changed', {}), log })
  const announcer = buildAnnouncer({ base, cluster, ca, drain, dataAddresses })
  const { workloads, uidOf } = local
  const declared = new DeclaredItems({ workloads, uidOf, proxy, log })
  const reload = new Reload({ source: config.declared, items: declared, metrics, log })
  return { base, cluster, ca, local, proxy, drain, declared, reload, announcer, dataAddresses }
}

// Enforcement first: the other listeners learn of a change when it has taken effect.
function subscribe({ base, cluster, ca, local, proxy, declared, announcer }: Built): void {
  const { events, log, metrics, stopping } = base
  const { mesh, registry, evictions } = cluster
  const stores = [ca.svids, ca.exportedSvids]
  new Enforcement({
    events,
    proxy,
    evictions,
    workloads: local.workloads,
    applied: cluster.inquiries.receipts.applied,
    registry,
    disconnect: peer => {
      if (mesh.isConnected(peer)) detach(log, 'connection of a host below a former root', mesh.disconnect(peer))
    },
    health: local.health,
    svids: stores,
    trustChanged: () => ca.rotation.trustChanged(stopping),
    announce: () => announcer.announce(),
    log
  }).start()
  base.history.record(events)
  base.audit?.follow(events)
  events.on('registration-added', ({ registrationId, spiffeId }) => {
    for (const store of stores) store.add(registrationId, spiffeId)
  })
  declared.follow(events)
  events.on('profile-changed', () => announcer.announce())
  events.on('addresses-changed', ({ added, gone }) => {
    log.info('addresses of this host changed', { addresses: added, gone })
    // Before the announcement: it leaves by the connections that work.
    mesh.networkChanged(gone)
    announcer.announce()
  })
  followCluster(base, cluster, ca.trustService)
  countEvents(metrics, events)
}

async function start({ base, cluster, ca, local, proxy, announcer }: Built, parts: Parts): Promise<void> {
  const { events, log, resources, restart, stopping } = base
  const { mesh, registry, failures, policy, policyStore, members } = cluster
  ca.rootRotation.tidy()
  policy.start()
  if (parts.isDatabaseLost && policy.bundle === undefined) policyStore.noteLost()
  if (policyStore.isUnheard) {
    log.error('the policy of this host is lost: nothing is allowed before another host has said what is')
  }
  resources.defer(() => policy.stop())
  await ca.joins.renew()
  const others = [...base.config.bootstrap, ...parts.meshAddresses, ...members.addresses()]
  if (others.length > 0) base.onProgress({ waitsFor: 'member', addresses: others })
  resources.defer(() => (restart?.handover.isFollowed === true ? mesh.abandon() : mesh.stop()))
  let isInMesh = false
  // After the flows have ended with their reason: other hosts drop what is registered here.
  resources.defer(() => (restart?.handover.isFollowed === true || !isInMesh ? undefined : registry.leave()))
  handOnRegistry(restart?.handover, registry, base.hostClock, () => proxy.flows())
  // Before the data port: what waits there asks for the certificates of these.
  restart?.note('registrations', await local.workloads.adopt())
  await proxy.start()
  resources.defer(() => proxy.stop())
  // To start the mesh, and to meet its members again, keeps this thread busy for as long as a session takes to be opened.
  const isAlone = proxy.canContinueAlone()
  if (isAlone) {
    // What is registered here is in force when it is announced. Nobody receives it yet.
    announcer.begin()
    restart?.note('flows', proxy.adopt())
    await proxy.carried()
  }
  await mesh.start()
  isInMesh = true
  mesh.addHints([...parts.meshAddresses, ...members.addresses()])
  registry.start()
  failures.start()
  resources.defer(() => failures.stop())
  if (isAlone) {
    // With the addresses of the mesh.
    announcer.announce()
  } else {
    announcer.begin()
    restart?.note('flows', proxy.adopt())
  }
  const watch = new AddressWatch({ onChange: (added, gone) => events.emit('addresses-changed', { added, gone }), log })
  detach(log, 'addresses', watch.run(stopping))
  ca.rotation.start(stopping, () => {
    detach(log, 'agent certificate', ca.joins.renew(), stopping)
    detach(log, 'session proofs', proxy.proveAgain(), stopping)
  })
  local.workloads.start()
  resources.defer(() => local.workloads.stop())
}

async function serve(built: Built, wired: Wired, meshAddresses: readonly string[]): Promise<void> {
  const { readiness, synchronised } = wired
  const { base, cluster, ca, local, proxy, declared, reload } = built
  const { config, membership, metrics, clock, log, resources, stopping } = base
  const { mesh, registry, policy, policyStore, members, state } = cluster
  const sockets = await serveApi({ ...built, readiness })
  collect(metrics, {
    state,
    underWay: () => registry.underWay,
    mesh,
    workloads: local.workloads,
    proxy: proxy,
    policyVersion: () => policy.version,
    declared: () => declared.list(),
    certificates: () => ca.rotation.certificates(),
    sockets,
    clock
  })
  await serveMetrics(base, () => stateOf({ ...built, readiness }))
  detach(log, 'free memory', giveBackMemory(proxy, collectAllGarbage, { log, clock, signal: stopping }), stopping)
  resources.defer(() => readiness.drain())
  // A host that knows nobody, because it has lost its database, may still be found.
  const others = meshAddresses.length + members.addresses().length + config.bootstrap.length
  const alone = others === 0 && !policyStore.isUnheard
  await readiness.begin(alone ? 'alone' : meshAddresses.length > 0 ? 'joiner' : 'member', synchronised, log, stopping)
  resources.defer(() => declared.stop())
  const first = reload.begin()
  // A directory service that does not answer must not hold up the host.
  detach(log, 'declared items', first)
  await within(FIRST_ATTEMPTS_MS, [stopping], signal => raceAbort(first, signal)).catch(() => {})
  const { machine, trustDomain } = membership
  log.info('agent ready', { machine, trustDomain, peer: mesh.peer, addresses: mesh.addresses() })
}
