import type { PeerKey } from '../../../src/identity/index.ts'
import type { EventQueue } from '../event-queue.ts'
import type { Random } from '../random.ts'
import type { SimMesh } from './sim-mesh.ts'
import type { VirtualProcess } from './virtual-process.ts'

/** Whether a partition swallows what one host sends another, by their machine names. */
export type Block = (from: string, to: string) => boolean

/** The hosts that run, and what becomes of what they send. */
export class ClusterNetwork {
  readonly queue: EventQueue
  readonly random: Random
  readonly blocks = new Set<Block>()
  /** Most messages take about as long, some many times that. */
  latencyMs: number
  /** Share of the messages of gossip that are lost. */
  loss: number
  readonly #process: VirtualProcess
  readonly #running = new Map<string, SimMesh>()

  constructor(queue: EventQueue, random: Random, process: VirtualProcess) {
    this.queue = queue
    this.random = random
    this.#process = process
    this.latencyMs = random.pick([1, 5, 20, 60]) ?? 1
    this.loss = random.pick([0, 0.01, 0.1]) ?? 0
  }

  add(mesh: SimMesh): void {
    this.#running.set(mesh.machine, mesh)
  }

  remove(mesh: SimMesh): void {
    if (this.#running.get(mesh.machine) === mesh) this.#running.delete(mesh.machine)
  }

  /** The host of this name, if it runs. */
  at(machine: string): SimMesh | undefined {
    return this.#running.get(machine)
  }

  /** The host of this key, if it runs. */
  of(peer: PeerKey): SimMesh | undefined {
    for (const mesh of this.#running.values()) if (mesh.peer === peer) return mesh
    return undefined
  }

  blocked(from: SimMesh, to: SimMesh): boolean {
    return this.isBlocked(from.machine, to.machine)
  }

  isBlocked(from: string, to: string): boolean {
    for (const block of this.blocks) if (block(from, to)) return true
    return false
  }

  latency(): number {
    const { random } = this
    return this.latencyMs * Math.exp(2 * (random.next() + random.next() + random.next() - 1.5))
  }

  /** Runs `work` as this host. */
  as(mesh: SimMesh, work: () => void): void {
    this.#process.enter(mesh.run, work)
  }

  after(ms: number, mesh: SimMesh, work: () => void): void {
    this.#process.after(ms, mesh.run, work)
  }
}
