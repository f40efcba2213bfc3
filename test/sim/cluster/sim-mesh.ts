import { ErrorCode, raceAbort, silentLogger, WarrenError, within } from '../../../src/core/index.ts'
import type { PeerKey } from '../../../src/identity/index.ts'
import { AdmissionDialogue, type DialogueDeps } from '../../../src/mesh/admission/dialogue.ts'
import { Duplicates } from '../../../src/mesh/admission/duplicates.ts'
import { Sessions } from '../../../src/mesh/admission/session.ts'
import type {
  GossipHandler,
  Mesh,
  MeshProtocol,
  MeshTopic,
  RequestHandler,
  RequestOptions
} from '../../../src/mesh/index.ts'
import { ADMISSION_TIMEOUT_MS } from '../../../src/mesh/limits.ts'
import type { ClusterNetwork } from './network.ts'
import { Side } from './side.ts'
import type { Run } from './virtual-process.ts'

const FAN_OUT = 8
const DIAL_TICK_MS = 500
/** A link that carries nothing for this long is closed, as the pings of libp2p do it. */
const SILENCE_MS = 8_000
const MAX_PAUSE_MS = 10_000

/** What a host does with the mesh beside what an honest one does. */
export interface Manners {
  /** What it answers in place of its own program. */
  readonly answer: (
    protocol: MeshProtocol,
    from: PeerKey,
    bytes: Uint8Array,
    honest: () => Promise<Uint8Array>
  ) => Promise<Uint8Array>
  /** Whether it hands a message of gossip on. */
  readonly forwards: () => boolean
  /** A message of gossip that it has seen. */
  readonly overheard: (topic: MeshTopic, bytes: Uint8Array) => void
}

export interface SimMeshOptions {
  readonly machine: string
  readonly peer: PeerKey
  readonly run: Run
  readonly network: ClusterNetwork
  /** How it admits the host that has proved to hold the key of `peer`. */
  readonly admission: (peer: PeerKey) => Pick<DialogueDeps, 'nodeChain' | 'verifyChain' | 'onRefused'>
  readonly seeds: readonly string[]
  /** It has a connection to this host from now on, which began at this time. */
  readonly onOpened: (mesh: SimMesh, machine: string, beganMs: number) => void
  readonly onPinged: (peer: PeerKey, answered: boolean) => void
  readonly manners: Manners | undefined
}

interface Dialled {
  notBeforeMs: number
  pauseMs: number
}

interface Message {
  readonly topic: MeshTopic
  readonly bytes: Uint8Array
  readonly seen: Set<SimMesh>
}

/** The mesh of one run of a host: the admission of the agent over connections of the simulation, and nothing of libp2p. */
export class SimMesh implements Mesh {
  readonly machine: string
  readonly peer: PeerKey
  readonly run: Run
  readonly #options: SimMeshOptions
  readonly #network: ClusterNetwork
  readonly #sessions: Sessions
  readonly #duplicates: Duplicates
  readonly #open = new Map<PeerKey, { readonly side: Side; readonly machine: string }>()
  readonly #handlers = new Map<MeshProtocol, RequestHandler>()
  readonly #topics = new Map<MeshTopic, GossipHandler>()
  readonly #onConnect: Array<(peer: PeerKey, machine: string) => void> = []
  readonly #onDisconnect: Array<(peer: PeerKey) => void> = []
  readonly #known = new Map<string, Dialled>()
  readonly #dials = new Map<string, Promise<void>>()

  constructor(options: SimMeshOptions) {
    this.#options = options
    this.machine = options.machine
    this.peer = options.peer
    this.run = options.run
    this.#network = options.network
    this.#sessions = new Sessions(options.peer)
    this.#duplicates = new Duplicates({ monotonicMs: () => options.network.queue.nowMs }, silentLogger)
    for (const seed of options.seeds) this.#know(seed)
  }

  async start(): Promise<void> {
    this.#network.add(this)
    this.#tick()
  }

  /** The process is gone. Who is still connected learns it at once, if the link allows. */
  die(): void {
    this.#network.remove(this)
    for (const { side } of this.#open.values()) side.abort(new Error('connection reset'))
  }

  async stop(): Promise<void> {
    this.die()
  }

  abandon(): void {
    this.die()
  }

  addresses(): string[] {
    return [`/dns4/${this.machine}/tcp/7460`]
  }

  async whenListening(): Promise<string[]> {
    return this.addresses()
  }

  async publish(topic: MeshTopic, bytes: Uint8Array): Promise<number> {
    return this.#forward({ topic, bytes, seen: new Set([this]) })
  }

  listening(): PeerKey[] {
    return this.connected()
  }

  onGossip(topic: MeshTopic, handler: GossipHandler): void {
    this.#topics.set(topic, handler)
  }

  async ping(peer: PeerKey, timeoutMs: number): Promise<boolean> {
    const side = this.#open.get(peer)?.side
    const answered = side !== undefined && (await this.#pinged(side, timeoutMs))
    this.#options.onPinged(peer, answered)
    return answered
  }

  handle(protocol: MeshProtocol, handler: RequestHandler): void {
    this.#handlers.set(protocol, handler)
  }

  async request(
    peer: PeerKey,
    protocol: MeshProtocol,
    bytes: Uint8Array,
    options: RequestOptions
  ): Promise<Uint8Array> {
    try {
      return await within(options.timeoutMs ?? 5_000, [options.signal], signal =>
        raceAbort(this.#exchange(peer, protocol, bytes), signal)
      )
    } catch (err) {
      if (protocol === '/warren/probe/1' && bytes.length === 0) this.#options.onPinged(peer, false)
      if (options.signal?.aborted === true) throw options.signal.reason
      throw err instanceof WarrenError
        ? err
        : new WarrenError(ErrorCode.Timeout, `${protocol}: no answer in time`, { cause: err })
    }
  }

  async openStream(): Promise<never> {
    throw new WarrenError(ErrorCode.Unsupported, 'there are no streams here')
  }

  async openRelayed(): Promise<never> {
    throw new WarrenError(ErrorCode.Unsupported, 'there are no streams here')
  }

  onStream(): void {}

  sharePort(): void {}

  connected(): PeerKey[] {
    return [...this.#open.keys()]
  }

  duplicates() {
    return this.#duplicates.list()
  }

  relayed(): number {
    return 0
  }

  isConnected(peer: PeerKey): boolean {
    return this.#open.has(peer)
  }

  isNeighbour(): boolean {
    return true
  }

  remoteAddressOf(): undefined {
    return undefined
  }

  dialledAt(): undefined {
    return undefined
  }

  machineOf(peer: PeerKey): string | undefined {
    return this.#open.get(peer)?.machine
  }

  onConnect(listener: (peer: PeerKey, machine: string) => void): void {
    this.#onConnect.push(listener)
  }

  onDisconnect(listener: (peer: PeerKey) => void): void {
    this.#onDisconnect.push(listener)
  }

  addHints(multiaddrs: readonly string[]): void {
    for (const text of multiaddrs) {
      const machine = /^\/dns4\/([a-z0-9]+)\//.exec(text)?.[1]
      if (machine !== undefined && machine !== this.machine) this.#know(machine)
    }
  }

  networkChanged(): void {}

  checkConnection(): void {}

  async disconnect(peer: PeerKey): Promise<void> {
    this.cutOff(peer)
  }

  cutOff(peer: PeerKey): void {
    this.#open.get(peer)?.side.abort(new Error('cut off'))
  }

  async forget(peer: PeerKey): Promise<void> {
    const machine = this.machineOf(peer)
    if (machine !== undefined) this.#known.delete(machine)
    this.cutOff(peer)
  }

  /** Connects to a host. Rejects if that does not answer in time, or either refuses the other. */
  dial(machine: string): Promise<void> {
    const running = this.#dials.get(machine)
    if (running !== undefined) return running
    const dial = this.#dial(machine).finally(() => this.#dials.delete(machine))
    this.#dials.set(machine, dial)
    return dial
  }

  #know(machine: string): void {
    if (!this.#known.has(machine)) this.#known.set(machine, { notBeforeMs: 0, pauseMs: DIAL_TICK_MS })
  }

  #tick(): void {
    const { nowMs } = this.#network.queue
    for (const [machine, dialled] of this.#known) {
      if (this.#isConnectedTo(machine) || this.#dials.has(machine) || nowMs < dialled.notBeforeMs) continue
      this.dial(machine).then(
        () => {
          dialled.pauseMs = DIAL_TICK_MS
        },
        () => {
          dialled.notBeforeMs = this.#network.queue.nowMs + dialled.pauseMs * this.#network.random.between(0.8, 1.2)
          dialled.pauseMs = Math.min(MAX_PAUSE_MS, dialled.pauseMs * 2)
        }
      )
    }
    for (const { side } of [...this.#open.values()]) {
      const isSilent = this.#network.blocked(this, side.other.mesh) || this.#network.blocked(side.other.mesh, this)
      const isGone = side.other.status === 'closed' || side.other.mesh.run.isOver || side.other.mesh.run.isPaused
      side.silentMs = isSilent || isGone ? side.silentMs + DIAL_TICK_MS : 0
      if (side.silentMs > SILENCE_MS) side.abort(new Error('silent'))
    }
    this.#network.after(DIAL_TICK_MS * this.#network.random.between(0.9, 1.1), this, () => this.#tick())
  }

  #isConnectedTo(machine: string): boolean {
    for (const open of this.#open.values()) if (open.machine === machine) return true
    return false
  }

  async #dial(machine: string): Promise<void> {
    await within(ADMISSION_TIMEOUT_MS, [], async signal => {
      const reached = Promise.withResolvers<SimMesh>()
      const network = this.#network
      network.queue.after(network.latency(), () => {
        const to = network.at(machine)
        if (to === undefined || network.blocked(this, to) || network.blocked(to, this)) return
        network.after(network.latency(), this, () => reached.resolve(to))
      })
      const to = await raceAbort(reached.promise, signal)
      const [own, other] = Side.pair(this, to, network)
      // Noise has proved both keys: what follows cannot be said in the name of another.
      network.as(to, () => to.#answer(other, this.peer))
      await this.#admit('outbound', own, to.peer, signal)
    })
  }

  #answer(side: Side, peer: PeerKey): void {
    void within(ADMISSION_TIMEOUT_MS, [], signal => this.#admit('inbound', side, peer, signal)).catch(() => {})
  }

  async #admit(direction: 'inbound' | 'outbound', side: Side, peer: PeerKey, signal: AbortSignal): Promise<void> {
    const session = this.#sessions.begin(peer, direction, side.stream)
    const [sessions, duplicates] = [this.#sessions, this.#duplicates]
    const dialogue = new AdmissionDialogue({ ...this.#options.admission(peer), sessions, duplicates })
    try {
      const machine = await raceAbort(dialogue[direction](session, side), signal)
      if (side.status === 'closed') throw new Error('the connection closed')
      this.#sessions.opened(session, machine, side.stream)
      this.#opened(side, peer, machine, session.beganMs)
    } catch (err) {
      side.abort(err instanceof Error ? err : new Error('refused'))
      throw err
    }
  }

  #opened(side: Side, peer: PeerKey, machine: string, beganMs: number): void {
    side.onClose(() => {
      if (this.#open.get(peer)?.side !== side) return
      this.#open.delete(peer)
      this.#network.as(this, () => {
        for (const listener of this.#onDisconnect) listener(peer)
      })
    })
    this.#open.set(peer, { side, machine })
    this.#options.onOpened(side.other.mesh, machine, beganMs)
    for (const listener of this.#onConnect) listener(peer, machine)
  }

  async #pinged(side: Side, timeoutMs: number): Promise<boolean> {
    const answered = Promise.withResolvers<boolean>()
    const stop = side.onClose(() => answered.resolve(false))
    side.send(() => side.other.send(() => answered.resolve(true)))
    try {
      return await within(timeoutMs, [], signal => raceAbort(answered.promise, signal))
    } catch {
      return false
    } finally {
      stop()
    }
  }

  async #exchange(peer: PeerKey, protocol: MeshProtocol, bytes: Uint8Array): Promise<Uint8Array> {
    if (!this.#open.has(peer)) {
      const to = this.#network.of(peer)
      if (to !== undefined) await this.dial(to.machine)
    }
    const side = this.#open.get(peer)?.side
    if (side === undefined) throw new WarrenError(ErrorCode.DestinationUnreachable, 'the host is not connected')
    const done = Promise.withResolvers<Uint8Array>()
    const stop = side.onClose(cause =>
      done.reject(new WarrenError(ErrorCode.DestinationUnreachable, 'closed', { cause }))
    )
    const { other } = side
    side.send(() => {
      other.mesh.#serve(protocol, this.peer, bytes).then(
        answer => other.send(() => done.resolve(answer)),
        (err: unknown) => other.send(() => done.reject(err))
      )
    })
    try {
      return await done.promise
    } finally {
      stop()
    }
  }

  async #serve(protocol: MeshProtocol, from: PeerKey, bytes: Uint8Array): Promise<Uint8Array> {
    const handler = this.#handlers.get(protocol)
    const honest = async (): Promise<Uint8Array> => {
      if (handler === undefined) throw new WarrenError(ErrorCode.Unsupported, protocol)
      return await handler(from, bytes, new AbortController().signal)
    }
    const { manners } = this.#options
    return await (manners === undefined ? honest() : manners.answer(protocol, from, bytes, honest))
  }

  #forward(message: Message): number {
    const { random } = this.#network
    const to = random.sample([...this.#open.values()], FAN_OUT)
    for (const { side } of to) {
      const { mesh } = side.other
      if (message.seen.has(mesh) || random.chance(this.#network.loss)) continue
      side.send(() => mesh.#heard(message, this.peer))
    }
    return to.length
  }

  #heard(message: Message, from: PeerKey): void {
    if (message.seen.has(this)) return
    message.seen.add(this)
    const { manners } = this.#options
    manners?.overheard(message.topic, message.bytes)
    const verdict = this.#topics.get(message.topic)?.(message.bytes, from)
    const isGood = verdict === 'accept' || verdict === 'accept-later'
    if (isGood && manners?.forwards() !== false) this.#forward(message)
  }
}
