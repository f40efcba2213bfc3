import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { type Duplex, duplexPair } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import { listenerOf, peerUser, processReader } from '../../../src/attest/index.ts'
import {
  type Clock,
  ErrorCode,
  type HostPort,
  type LimitName,
  type LogFields,
  type Logger,
  systemClock,
  WarrenError
} from '../../../src/core/index.ts'
import {
  type Address,
  formatAddress,
  matches,
  type PeerKey,
  parseAddress,
  parsePattern,
  spiffeIdOf
} from '../../../src/identity/index.ts'
import {
  type Candidate,
  type CarrierChoice,
  createDataPlane,
  type DataPlane,
  type ProxyDeps,
  type ProxyLimits,
  type Strategy,
  type TlsCredentials
} from '../../../src/proxy/index.ts'
import type { Target } from '../../../src/workloads/index.ts'
import { recordingMetrics } from '../../harness/recording-metrics.ts'
import { privateDirectory } from '../../harness/temporary.ts'
import { agentCredentials, svidOf, type TestNode, TestPki, TRUST_DOMAIN } from './pki.ts'
import { madeOf } from './sockets.ts'

/** From where this process sees the host. */
export const VIEW = processReader().viewOf(process.pid)
export const UID = process.getuid?.() ?? 0

export interface LogLine {
  readonly level: string
  readonly message: string
  readonly fields: LogFields
}

export interface Registration {
  readonly id: string
  readonly address: Address
  readonly machine: string
  readonly target: Target | undefined
  health: Candidate['health']
  labels: Candidate['labels']
  weight: number
  /** Whether hosts other than its own know it. */
  announced: boolean
}

export interface HostOptions {
  readonly carrier?: CarrierChoice
  readonly limits?: Partial<ProxyLimits>
  readonly join?: ProxyDeps['join']
  readonly udpIdleMs?: number
  readonly resumeWindowMs?: number
  readonly oversize?: ProxyDeps['oversize']
  /** Its registrations ask for each datagram on two paths. */
  readonly multipath?: boolean
  readonly upgradeThresholds?: NonNullable<ProxyDeps['upgradeThresholds']>
  readonly clock?: Clock
}

/** Some hosts in one process, with one registry and one policy that the test owns. */
export class World implements AsyncDisposable {
  readonly pki: TestPki
  readonly hosts = new Map<PeerKey, Host>()
  readonly registrations = new Map<string, Registration>()
  readonly revoked = new Set<string>()
  readonly suspects = new Set<string>()
  readonly draining = new Set<string>()
  /** Machines whose lease has ended without a word. */
  readonly silent = new Set<string>()
  /** What the policy of the named machine answers. */
  allows: (source: Address, destination: Address, machine: string) => boolean = () => true
  readonly directory: string
  readonly #cleanup: (() => Promise<void> | void)[] = []

  private constructor(pki: TestPki) {
    this.pki = pki
    this.directory = privateDirectory('warren-proxy-')
  }

  static async create(): Promise<World> {
    return new World(await TestPki.create())
  }

  async host(machine: string, options: HostOptions = {}): Promise<Host> {
    const host = new Host(this, await this.pki.node(machine), options)
    this.hosts.set(host.node.peer, host)
    await host.start()
    return host
  }

  defer(cleanup: () => Promise<void> | void): void {
    this.#cleanup.push(cleanup)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const cleanup of this.#cleanup.reverse()) await cleanup()
    await Promise.all([...this.hosts.values()].map(host => host.proxy.stop()))
    rmSync(this.directory, { recursive: true, force: true })
  }
}

export class Host {
  readonly world: World
  readonly node: TestNode
  readonly lines: LogLine[] = []
  /** The limits that were reached, each time. */
  hits: readonly LimitName[] = []
  /** What was counted, by the name of the metric and its labels. */
  counts: ReadonlyMap<string, number> = new Map()
  /** Addresses that others are told; the bound one unless a test changes it. */
  dataAddresses: string[] = []
  /** Called when it opens a stream over the mesh; a test may break it. */
  openStream: (peer: PeerKey) => Promise<Duplex>
  /** The same through a third host; without one unless a test says so. */
  openRelayed: (peer: PeerKey) => Promise<{ stream: Duplex; via: string }> = () =>
    Promise.reject(new WarrenError(ErrorCode.DestinationUnreachable, 'no relay'))
  /** Called when it asks another host to dial it; a test may break it. The other one refuses unless a test says where to dial. */
  askBack: (peer: PeerKey, request: Uint8Array) => Promise<number>
  /** Where it dials a host that asks it to. */
  dataPortsOf: (peer: PeerKey) => HostPort[] = () => []
  /** Whom it may ask to join connections with a host; nobody unless a test says so. */
  relaysTo: (peer: PeerKey) => PeerKey[] = () => []
  /** Whether it joins connections of a host. */
  takesJoined: (peer: PeerKey) => boolean = peer => {
    const other = this.world.hosts.get(peer)
    return other !== undefined && !this.world.revoked.has(other.machine)
  }
  /** Called when it asks another host to relay, and as a relay the wanted one. */
  askRelay: (peer: PeerKey, request: Uint8Array) => Promise<number>
  askWanted: (peer: PeerKey, request: Uint8Array) => Promise<number>
  /** Where it reaches the mesh port of a host; nowhere unless a test says so. */
  meshPortsOf: (peer: PeerKey) => HostPort[] = () => []
  isDialledBy: (peer: PeerKey) => boolean = () => false
  /** Of which hosts the proxy said that they do not answer. */
  readonly unreachable: PeerKey[] = []
  refresh: (peer: PeerKey) => Promise<void> = async () => {}
  readonly carriers: Duplex[] = []
  /** Whose certificates are refused here, at handshakes and in proofs; nobody's unless a test changes it. */
  refuses: (leafDer: Uint8Array) => boolean = () => false
  /** Whether the host of a certificate has shown a newer CA here. */
  isReplaced: (leafDer: Uint8Array) => boolean = () => false
  /** Of the SVIDs that are issued from now on. */
  svidLifetimeMs = 3_600_000
  proxy: DataPlane
  readonly #svids = new Map<string, Promise<TlsCredentials>>()
  #agent: TlsCredentials | undefined
  readonly #options: HostOptions
  readonly #logWaiters = new Set<() => void>()

  constructor(world: World, node: TestNode, options: HostOptions) {
    this.world = world
    this.node = node
    this.#options = options
    this.openStream = peer => this.#openCarrier(peer)
    this.askBack = async (peer, request) => {
      const other = this.world.hosts.get(peer)
      if (other === undefined) throw new Error('no such peer')
      return other.proxy.connectBack(this.node.peer, request)
    }
    const hostOf = (peer: PeerKey): Host => {
      const other = this.world.hosts.get(peer)
      if (other === undefined) throw new Error('no such peer')
      return other
    }
    this.askRelay = async (peer, request) => await hostOf(peer).proxy.relay(this.node.peer, request)
    this.askWanted = async (peer, request) => hostOf(peer).proxy.connectToRelay(this.node.peer, request)
    this.proxy = createDataPlane(this.#deps())
  }

  get machine(): string {
    return this.node.machine
  }

  async start(): Promise<void> {
    this.#agent = await agentCredentials(this.node)
    await this.proxy.start()
    const { host, port } = this.proxy.dataAddress()
    this.dataAddresses = [`${host}:${port}`]
  }

  /** Registers an address (four components) on this host. */
  register(name: string, target?: Target): Registration {
    const registration: Registration = {
      id: randomBytes(32).toString('hex'),
      address: parseAddress(`${name}.${this.machine}`),
      machine: this.machine,
      target,
      health: 'passing',
      labels: {},
      weight: 100,
      announced: true
    }
    this.world.registrations.set(registration.id, registration)
    return registration
  }

  deregister(id: string): void {
    this.world.registrations.delete(id)
    this.proxy.registrationEnded(id, 'deregistered')
  }

  /** Serves at a fresh unix path and registers it. */
  async serve(
    name: string,
    onConnection: (socket: Socket) => void,
    options: { hello?: boolean; uid?: number; protocol?: 'tcp' | 'udp' } = {}
  ): Promise<Registration & { readonly server: Server; readonly path: string }> {
    const path = join(this.world.directory, `w-${randomBytes(4).toString('hex')}`)
    const server = await listenAt(this.world, path, onConnection)
    const { hello = false, uid = UID, protocol = 'tcp' } = options
    return Object.assign(this.register(name, { kind: 'unix', path, made: madeOf(path), uid, hello, protocol }), {
      server,
      path
    })
  }

  async connect(
    source: Registration,
    destination: string,
    hello = false,
    protocol: 'tcp' | 'udp' = 'tcp',
    strategy: Strategy = 'balanced'
  ) {
    return await this.proxy.connect({
      source: { registrationId: source.id, address: source.address, uid: UID, view: VIEW },
      destination: parsePattern(destination),
      protocol,
      strategy,
      hello,
      signal: AbortSignal.timeout(15_000)
    })
  }

  renew(id: string): void {
    this.#svids.delete(id)
  }

  svid(id: string): Promise<TlsCredentials> {
    const registration = this.world.registrations.get(id)
    if (registration?.machine !== this.machine) {
      return Promise.reject(new WarrenError(ErrorCode.InvalidSource, 'not registered here'))
    }
    const known =
      this.#svids.get(id) ??
      svidOf(this.node, spiffeIdOf(TRUST_DOMAIN, registration.address), { lifetimeMs: this.svidLifetimeMs })
    this.#svids.set(id, known)
    return known
  }

  /** The first line of the log, past or future, that satisfies the predicate. */
  async line(predicate: (line: LogLine) => boolean): Promise<LogLine> {
    for (;;) {
      const found = this.lines.find(predicate)
      if (found !== undefined) return found
      await new Promise<void>(resolve => this.#logWaiters.add(resolve))
    }
  }

  flowEnd(reason: RegExp): Promise<LogLine> {
    return this.line(({ message, fields }) => message === 'flow ended' && reason.test(fields.reason ?? ''))
  }

  async #openCarrier(peer: PeerKey): Promise<Duplex> {
    const other = this.world.hosts.get(peer)
    if (other === undefined) throw new Error('no such peer')
    const [ours, theirs] = carrierPair()
    this.carriers.push(ours)
    other.proxy.acceptCarrier(theirs, this.node.peer)
    return ours
  }

  authorize({ source, destination }: Parameters<ProxyDeps['authorize']>[0]): ReturnType<ProxyDeps['authorize']> {
    const allowed = this.world.allows(source, destination, this.machine)
    return {
      allowed,
      ground: allowed ? 'RULE' : 'DEFAULT',
      rule: allowed ? 'test-rule' : '',
      policyVersion: 1n,
      text: allowed ? 'rule test-rule' : 'no rule and no whitelist entry allows it'
    }
  }

  #candidate(registration: Registration): Candidate {
    const host = [...this.world.hosts.values()].find(one => one.machine === registration.machine)
    return {
      registrationId: registration.id,
      address: registration.address,
      machine: registration.machine,
      peer: host?.node.peer ?? ('' as PeerKey),
      dataAddresses: host?.dataAddresses ?? [],
      health: registration.health,
      labels: registration.labels,
      weight: registration.weight,
      local: registration.machine === this.machine,
      suspect: this.world.suspects.has(registration.machine),
      draining: this.world.draining.has(registration.machine)
    }
  }

  #deps(): ProxyDeps {
    const { world } = this
    const { clock = systemClock } = this.#options
    const known = (): Registration[] =>
      [...world.registrations.values()].filter(one => one.announced || one.machine === this.machine)
    const local = (id: string): Registration | undefined => {
      const registration = world.registrations.get(id)
      return registration?.machine === this.machine ? registration : undefined
    }
    const log =
      (level: string) =>
      (message: string, fields: LogFields = {}) => {
        this.lines.push({ level, message, fields })
        const waiters = [...this.#logWaiters]
        this.#logWaiters.clear()
        for (const wake of waiters) wake()
      }
    const logger: Logger = {
      error: log('error'),
      warn: log('warn'),
      info: log('info'),
      debug: log('debug'),
      child: () => logger
    }
    const { metrics, hits, counts } = recordingMetrics(logger)
    this.hits = hits
    this.counts = counts
    return {
      trustDomain: TRUST_DOMAIN,
      machine: this.machine,
      verifyAgent: () => ({ ok: false, detail: 'no test asks' }),
      metrics,
      directory: {
        candidates: (pattern, protocol) =>
          known()
            .filter(one => one.target !== undefined && serves(one.target, protocol) && matches(pattern, one.address))
            .map(one => this.#candidate(one)),
        byId: id => {
          const found = known().find(one => one.id === id)
          return found === undefined ? undefined : this.#candidate(found)
        },
        sourceAt: (address, machine) =>
          known().some(one => one.machine === machine && formatAddress(one.address) === formatAddress(address)),
        peerOf: machine => {
          if (world.revoked.has(machine)) return undefined
          return [...world.hosts.values()].find(one => one.machine === machine)?.node.peer
        },
        refresh: peer => this.refresh(peer),
        unreachable: peer => this.unreachable.push(peer)
      },
      local: {
        isAlive: id => local(id) !== undefined,
        svid: id => this.svid(id),
        target: id => local(id)?.target,
        isMultipath: () => this.#options.multipath === true,
        byPrefix: prefix => [...world.registrations.keys()].find(id => id.startsWith(prefix) && local(id) !== undefined)
      },
      credentials: {
        peerUser,
        // Here servers run in the process of their agents.
        listenerOf: socket => ({ ...listenerOf(socket), isSelf: false })
      },
      authorize: question => this.authorize(question),
      verifier: {
        workload: leaf =>
          this.refuses(leaf)
            ? { ok: false, reason: 'test', detail: 'the test refuses it' }
            : world.pki.verifier(leaf, world.revoked, clock.wallMs()),
        isReplaced: leaf => this.isReplaced(leaf)
      },
      roots: () => [world.pki.rootPem],
      joinCredentials: () => {
        if (this.#agent === undefined) throw new Error('not started')
        return this.#agent
      },
      join: this.#options.join ?? (async (socket: TLSSocket) => void socket.end()),
      renew: async (socket: TLSSocket) => void socket.end(),
      reverse: {
        peer: this.node.peer,
        ask: (peer, request) => this.askBack(peer, request),
        dataPortsOf: peer => this.dataPortsOf(peer)
      },
      relaying: {
        relaysTo: peer => this.relaysTo(peer),
        takesJoined: peer => this.takesJoined(peer),
        machineOf: peer => this.world.hosts.get(peer)?.machine ?? peer,
        askRelay: (peer, request) => this.askRelay(peer, request),
        askWanted: (peer, request) => this.askWanted(peer, request)
      },
      openStream: peer => this.openStream(peer),
      meshPortsOf: peer => this.meshPortsOf(peer),
      isDialledBy: peer => this.isDialledBy(peer),
      openRelayed: peer => this.openRelayed(peer),
      askAlive: async () => {},
      helperFor: async () => 'gamma',
      carrier: this.#options.carrier ?? 'direct',
      dataListen: { host: '127.0.0.1', port: 0 },
      runtimeDir: mkdtempSync(join(world.directory, 'run-')),
      log: logger,
      clock,
      resumeWindowMs: this.#options.resumeWindowMs ?? 0,
      silentHosts: { isSilent: machine => world.silent.has(machine), authorize: question => this.authorize(question) },
      ...(this.#options.udpIdleMs === undefined ? {} : { udpIdleMs: this.#options.udpIdleMs }),
      ...(this.#options.oversize === undefined ? {} : { oversize: this.#options.oversize }),
      ...(this.#options.upgradeThresholds === undefined ? {} : { upgradeThresholds: this.#options.upgradeThresholds }),
      ...(this.#options.limits === undefined ? {} : { limits: this.#options.limits })
    }
  }
}

/** A half-open server at a unix path that keeps no connection alive after the world. */
export async function listenAt(world: World, path: string, onConnection: (socket: Socket) => void): Promise<Server> {
  const sockets = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true }, socket => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    onConnection(socket)
  })
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', reject)
  server.listen(path, resolve)
  await promise
  world.defer(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return server
}

function serves(target: Target, protocol: 'tcp' | 'udp'): boolean {
  return (target.kind === 'unix' ? target.protocol : target.kind) === protocol
}

/** Two ends of an in-memory byte stream that is no socket; destroying one resets the other. */
function carrierPair(): [Duplex, Duplex] {
  const [one, other] = duplexPair()
  link(one, other)
  link(other, one)
  return [one, other]
}

function link(from: Duplex, to: Duplex): void {
  from.once('close', () => {
    if (!to.destroyed && !(from.readableEnded && from.writableFinished)) {
      to.destroy(Object.assign(new Error('stream truncated'), { code: 'ECONNRESET' }))
    }
  })
}
