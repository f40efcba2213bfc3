import {
  Authorities,
  AuthorityService,
  askAuthority,
  askOverMesh,
  authoritiesOf,
  certifier,
  dialAgent,
  IssuedStore,
  JoinService,
  Renewal,
  RenewalService,
  RootRotation,
  Rotation,
  Svids
} from '../../ca/index.ts'
import { askForTrust, TrustService } from '../../cluster/index.ts'
import { within } from '../../core/index.ts'
import { askForRenewal, askForSuccession, RENEW_ALPN } from '../../identity/index.ts'
import { owners } from '../../registry/index.ts'
import type { Base } from './base.ts'
import type { Cluster } from './cluster.ts'

/** The certificates of this host, and its part as an authority. */
export interface Ca {
  readonly trustService: TrustService
  readonly joins: JoinService
  readonly renewals: RenewalService
  /** SVIDs of the data plane; the keys stay in this process. */
  readonly svids: Svids
  /** SVIDs whose keys leave this process. */
  readonly exportedSvids: Svids
  readonly rootRotation: RootRotation
  readonly authorityService: AuthorityService
  readonly authorities: Authorities
  readonly renewal: Renewal
  readonly rotation: Rotation
}

/** One user may ask for the certificates of a thousand registrations at once: they take at most half of the agent's time. */
const EXPORT_REST_SHARE = 1
/** Sessions prove new certificates within five seconds, every host has the new heads before that. */
const MAX_SETTLE_MS = 10_000
/** Timeout of a TLS connection to the data port of an authority. */
const DIAL_TIMEOUT_MS = 5_000

/** Makes the parts that issue, renew and rotate certificates; starts nothing. `dataAddresses` returns the data addresses here. */
export function buildCa(base: Base, cluster: Cluster, dataAddresses: () => string[]): Ca {
  const { config, membership, vault, store, events, metrics, clock, hostClock, log } = base
  const { mesh, trust, state, routing, members, authorityStore, evictions } = cluster
  const { credentials, jwtKeys } = membership
  const { lifetimes } = config
  credentials.onChange(() => {
    const { machine, notAfterMs } = credentials.node
    events.emit('certificate-renewed', { machine, notAfterMs })
  })
  const certify = evictions.guard(certifier(credentials, lifetimes.svidMs, clock))
  const svids = new Svids(certify, clock)
  const exportedSvids = new Svids(certify, clock, EXPORT_REST_SHARE)
  const joins = new JoinService({
    membership,
    store,
    dataAddresses,
    meshAddresses: () => mesh.whenListening(),
    peerOf: name => routing.peerOf(name),
    knownAs: name => {
      const known = trust.known(name)
      const isOver = known === undefined || clock.wallMs() >= known.notAfterMs + lifetimes.graceMs
      return isOver || trust.revokedPeer(known.peer) !== undefined ? undefined : known
    },
    revocations: () => trust.state.revocations,
    lifetimeMs: lifetimes.nodeMs,
    clock,
    log,
    metrics,
    events
  })
  events.on('host-lost', ({ peer }) => joins.names.left(peer))
  events.on('host-connected', ({ peer }) => joins.names.returned(peer))
  const renewals = new RenewalService({
    credentials,
    trust,
    lifetimes,
    hasJoinedSince: (machine, sinceMs) => store.joins.hasJoinedSince(machine, sinceMs),
    clock,
    log,
    metrics
  })
  const trustService = buildTrustService(base, cluster)
  const announce = (): void => events.emit('profile-changed', {})
  const rootRotation = new RootRotation({
    vault,
    credentials,
    trust,
    service: trustService,
    owners: () => owners(state),
    known: () => members.all(),
    settleMs: Math.min(MAX_SETTLE_MS, lifetimes.nodeMs / 10),
    clock: hostClock,
    log
  })
  const issued = new IssuedStore(store)
  const self = credentials.node.peer
  const authorityService = new AuthorityService({ self, credentials, trust, lifetimes, issued, announce, clock, log })
  const authorities = new Authorities({
    credentials,
    trust,
    lifetimes,
    issued,
    owners: () => owners(state),
    ask: (peer, request, signal) => askAuthority(mesh, authorityService, peer, request, signal),
    clock: hostClock,
    log
  })
  const renewal = new Renewal({
    trustDomain: membership.trustDomain,
    credentials,
    peerKey: membership.peerKey,
    lifetimes,
    trust: () => trust.state,
    trustSinceMs: () => trustService.adoptedAtMs,
    renewals,
    authorities: () => authoritiesOf(owners(state), mesh),
    ask: (peer, request, signal) => askOverMesh(mesh, peer, request, signal),
    ports: () => authorityStore.addresses(),
    askAtPort: async (address, request, signal) => {
      const follow = (succession: readonly Uint8Array[]) => {
        trustService.take(succession)
        return trust.state
      }
      return await askForRenewal(await dialRenewal(address, signal), request, follow, hostClock.wallMs(), signal)
    },
    askForAuthority: (peer, authority, signal) => authorities.renewAt(peer, authority, signal),
    isFounder: membership.adminKey !== undefined,
    stateDir: config.stateDir,
    clock: hostClock,
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
      await joins.renew()
      announce()
    },
    announce,
    catchUp: signal => trustService.catchUp(signal),
    clock: hostClock,
    log
  })
  return {
    trustService,
    joins,
    renewals,
    svids,
    exportedSvids,
    rootRotation,
    authorityService,
    authorities,
    renewal,
    rotation
  }
}

function buildTrustService({ membership, events, clock, log, stopping }: Base, cluster: Cluster): TrustService {
  const { mesh, trust, authorityStore } = cluster
  const service = new TrustService({
    file: membership.trust,
    trust,
    connected: () => mesh.connected(),
    request: (peer, bytes, signal) => askForTrust(mesh, peer, bytes, signal),
    ports: () => authorityStore.addresses(),
    askAtPort: async (address, signal) => await askForSuccession(await dialRenewal(address, signal), signal),
    onAccepted: (reason, gone, version) => events.emit('trust-changed', { version, reason, gone }),
    clock,
    log,
    signal: stopping
  })
  events.on('unknown-root-shown', () => service.suspect())
  return service
}

async function dialRenewal(address: string, signal: AbortSignal) {
  return await within(DIAL_TIMEOUT_MS, [signal], limit => dialAgent(address, RENEW_ALPN, limit))
}
