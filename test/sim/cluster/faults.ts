import type { ClusterSimulation } from './cluster-simulation.ts'
import type { Member } from './member.ts'
import type { Block } from './network.ts'

/** Half of the skew that heads are accepted with: no host is in quarantine for it. */
const MAX_STEP_MS = 12_000

/** Makes one fault after another, each of a length of its own, until told to stop. */
export class ClusterFaults {
  readonly #sim: ClusterSimulation
  readonly #ends = new Set<() => void>()
  #stopped = false

  constructor(sim: ClusterSimulation) {
    this.#sim = sim
  }

  start(): void {
    const { queue, random } = this.#sim
    queue.after(random.between(1_000, 9_000), () => {
      if (this.#stopped) return
      random.pick([
        () => this.#partition(),
        () => this.#crash(false),
        () => this.#crash(true),
        () => this.#pause(),
        () => this.#stepClock()
      ])?.()
      this.start()
    })
  }

  /** Ends every fault. Who is not dead runs again. */
  stop(): void {
    this.#stopped = true
    for (const end of [...this.#ends]) end()
    for (const member of this.#sim.members) {
      member.skewMs = 0
      member.boot()
    }
  }

  #partition(): void {
    const { random, members, network, queue } = this.#sim
    const side = new Set(members.flatMap(({ machine }) => (random.chance(0.5) ? [machine] : [])))
    const cut = random.pick(members)?.machine
    const apart: Block = (from, to) => side.has(from) !== side.has(to)
    const kinds: Array<readonly [string, Block]> = [
      ['halves', apart],
      ['one-way', (from, to) => side.has(from) && !side.has(to)],
      ['alone', (from, to) => from === cut || to === cut],
      ['mute', from => from === cut],
      ['flapping', (from, to) => Math.floor(queue.nowMs / 1_000) % 2 === 0 && apart(from, to)]
    ]
    const [kind, block] = random.pick(kinds) ?? ['halves', apart]
    network.blocks.add(block)
    this.#during(`partition ${kind}`, random.between(1_000, 30_000), () => network.blocks.delete(block))
  }

  #crash(forGood: boolean): void {
    const { random, members, queue } = this.#sim
    const member = this.#any()
    if (member === undefined) return
    const living = members.filter(({ isDead, isHonest }) => !isDead && isHonest).length
    // The admin returns, and some are left to agree.
    member.isDead = forGood && member.role === 'honest' && living > 4
    member.crash()
    if (!member.isDead) queue.after(random.between(500, 40_000), () => member.boot())
  }

  #pause(): void {
    const run = this.#any()?.now?.run
    if (run === undefined || run.isPaused) return
    run.isPaused = true
    this.#during('pause', this.#sim.random.between(1_000, 20_000), () => run.resume())
  }

  #stepClock(): void {
    const member = this.#any()
    if (member === undefined) return
    member.skewMs = this.#sim.random.between(-MAX_STEP_MS, MAX_STEP_MS)
    this.#during('clock', this.#sim.random.between(5_000, 40_000), () => {
      member.skewMs = 0
    })
  }

  #during(what: string, ms: number, end: () => void): void {
    const { trace, queue } = this.#sim
    trace.add(queue.nowMs, 'fault', '', '', `${what}, for ${Math.round(ms)} ms`)
    const once = (): void => {
      if (!this.#ends.delete(once)) return
      trace.add(queue.nowMs, 'mended', '', '', what)
      end()
    }
    this.#ends.add(once)
    queue.after(ms, once)
  }

  #any(): Member | undefined {
    return this.#sim.random.pick(this.#sim.members.filter(({ now }) => now !== undefined))
  }
}
