import type { MessageStream } from '@libp2p/interface'
import type { Exchange } from '../../../src/mesh/admission/dialogue.ts'
import type { ClusterNetwork } from './network.ts'
import type { SimMesh } from './sim-mesh.ts'

/** A message that found a closed link waits so long for the next attempt, as TCP does. */
const RETRY_MS = 300

interface Admission {
  readonly chain: readonly Uint8Array[]
  readonly refusal: string
}

/**
 * One end of a connection: what is sent arrives in its order, late if the link is interrupted, unless the connection closes before.
 * It has what an admission needs of a stream of libp2p.
 */
export class Side extends EventTarget implements Exchange {
  status: 'open' | 'closed' = 'open'
  readonly mesh: SimMesh
  readonly #network: ClusterNetwork
  readonly #inbox: Array<Admission | 'confirmed'> = []
  readonly #onClose = new Set<(err: Error) => void>()
  #other: Side | undefined
  #next: PromiseWithResolvers<Admission | 'confirmed'> | undefined
  #arrivesAtMs = 0
  /** Messages behind one that does not arrive. */
  readonly #stalled: Array<() => void> = []
  /** How long the link has carried nothing. */
  silentMs = 0

  constructor(mesh: SimMesh, network: ClusterNetwork) {
    super()
    this.mesh = mesh
    this.#network = network
  }

  static pair(a: SimMesh, b: SimMesh, network: ClusterNetwork): readonly [Side, Side] {
    const [one, other] = [new Side(a, network), new Side(b, network)]
    one.#other = other
    other.#other = one
    return [one, other]
  }

  get other(): Side {
    if (this.#other === undefined) throw new Error('a connection has two ends')
    return this.#other
  }

  /** As the type that an admission is declared with: it uses what is here, and the status. */
  get stream(): MessageStream {
    return this as unknown as MessageStream
  }

  /** Runs `arrive` at the other end, as that host, unless the connection closes before. */
  send(arrive: () => void): void {
    const { nowMs } = this.#network.queue
    this.#arrivesAtMs = Math.max(this.#arrivesAtMs, nowMs + this.#network.latency())
    this.#network.queue.after(this.#arrivesAtMs - nowMs, () => this.#deliver(arrive))
  }

  /** Calls back when this end closes. Returns what takes that back. */
  onClose(listener: (err: Error) => void): () => void {
    this.#onClose.add(listener)
    return () => this.#onClose.delete(listener)
  }

  /** Closes both ends: this one now, the other when it hears of it. */
  abort(err: Error): void {
    if (this.status === 'closed') return
    this.send(() => this.other.close(err))
    this.close(err)
  }

  /** Closes this end alone, as after a crash of the other. */
  close(err: Error): void {
    if (this.status === 'closed') return
    this.status = 'closed'
    this.#next?.reject(err)
    for (const listener of this.#onClose) listener(err)
    this.#onClose.clear()
    this.dispatchEvent(new Event('close'))
  }

  async show(chain: readonly Uint8Array[], refusal = ''): Promise<void> {
    this.send(() => this.other.#receive({ chain, refusal }))
  }

  async see(): Promise<Admission> {
    const message = await this.#take()
    if (message === 'confirmed') throw new Error('not an admission')
    return message
  }

  async confirm(): Promise<void> {
    this.send(() => this.other.#receive('confirmed'))
  }

  async awaitConfirmation(): Promise<void> {
    if ((await this.#take()) !== 'confirmed') throw new Error('not a confirmation')
  }

  #receive(message: Admission | 'confirmed'): void {
    if (this.#next === undefined) this.#inbox.push(message)
    else this.#next.resolve(message)
    this.#next = undefined
  }

  async #take(): Promise<Admission | 'confirmed'> {
    const first = this.#inbox.shift()
    if (first !== undefined) return first
    if (this.status === 'closed') throw new Error('the connection closed')
    this.#next = Promise.withResolvers()
    return await this.#next.promise
  }

  #deliver(arrive: () => void): void {
    if (this.#stalled.length > 0 || this.#isBlocked) {
      if (this.#stalled.length === 0) this.#retry()
      this.#stalled.push(arrive)
    } else this.#arrive(arrive)
  }

  #retry(): void {
    this.#network.queue.after(RETRY_MS, () => {
      if (this.other.status === 'closed') return
      if (this.#isBlocked) return this.#retry()
      for (const arrive of this.#stalled.splice(0)) this.#arrive(arrive)
    })
  }

  #arrive(arrive: () => void): void {
    const { other } = this
    if (other.status === 'closed') return
    this.#network.as(other.mesh, () => {
      if (other.status === 'closed') return
      other.dispatchEvent(new Event('message'))
      arrive()
    })
  }

  get #isBlocked(): boolean {
    return this.#network.blocked(this.mesh, this.other.mesh)
  }
}
