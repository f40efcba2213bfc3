import type { Host } from './host.ts'
import type { Block } from './network.ts'
import type { Simulation } from './simulation.ts'

const STEP_MS = 600_000

/** Makes one fault after another, each of a length of its own, until told to stop. */
export class Faults {
  readonly #sim: Simulation
  /** What ends each fault that is under way. */
  readonly #ends = new Set<() => void>()
  #stopped = false

  constructor(sim: Simulation) {
    this.#sim = sim
  }

  start(): void {
    const { queue, random } = this.#sim
    queue.after(random.between(500, 6_000), () => {
      if (this.#stopped) return
      this.#one()
      this.start()
    })
  }

  /** Ends every fault: the network is whole, the clocks are right, and who is not dead runs again. */
  stop(): void {
    this.#stopped = true
    for (const end of [...this.#ends]) end()
    for (const host of this.#sim.hosts) {
      host.skewMs = 0
      // Armed, and not yet met by a write: it would be a crash after the last fault.
      host.disk.failsNext = false
      if (!host.up && !host.dead) host.boot()
    }
  }

  #one(): void {
    const { random } = this.#sim
    const kinds = [
      () => this.#partition(),
      () => this.#partition(),
      () => this.#stepClock(),
      () => this.#crash(),
      () => this.#crash(),
      () => this.#losePower(),
      () => this.#restore(),
      () => this.#pause(),
      () => this.#renew(),
      () => this.#backUp()
    ]
    random.pick(kinds)?.()
  }

  #partition(): void {
    const { random, hosts } = this.#sim
    const some = (share: number): Set<Host> => new Set(hosts.filter(() => random.chance(share)))
    const side = some(0.5)
    const bridge = random.pick(hosts)
    const cut = random.pick(hosts)
    const apart: Block = (from, to) => side.has(from) !== side.has(to)
    const kinds: Array<readonly [string, Block]> = [
      ['halves', apart],
      ['bridge', (from, to) => from !== bridge && to !== bridge && apart(from, to)],
      ['one-way', (from, to) => side.has(from) && !side.has(to)],
      ['deaf', (_from, to) => to === cut],
      ['mute', from => from === cut],
      ['alone', (from, to) => from === cut || to === cut],
      ['flapping', (from, to) => Math.floor(this.#sim.queue.nowMs / 1_000) % 2 === 0 && apart(from, to)]
    ]
    const [kind, block] = random.pick(kinds)!
    const { blocks } = this.#sim.network
    this.#during(`partition ${kind}`, random.between(1_000, 45_000), () => blocks.delete(block))
    blocks.add(block)
  }

  #stepClock(): void {
    const { random } = this.#sim
    const host = this.#anyUp()
    if (host === undefined) return
    const size = random.chance(0.3) ? random.between(1_000, 25_000) : STEP_MS
    this.#stepClockOf(host, random.chance(0.5) ? size : -size)
  }

  #stepClockOf(host: Host, ms: number): void {
    host.skewMs += ms
    const forMs = this.#sim.random.between(5_000, 90_000)
    this.#during(`clock of ${host.machine} off by ${Math.round(host.skewMs)} ms`, forMs, () => {
      host.skewMs = 0
    })
  }

  #crash(): void {
    const { random, network } = this.#sim
    const host = this.#anyUp()
    if (host === undefined) return
    host.dead = random.chance(0.1) && this.#sim.hosts.filter(({ dead }) => !dead).length > 4
    host.crash(host.dead ? 'for good' : 'restarts')
    network.disconnect(host)
    if (host.dead) return
    if (random.chance(0.2)) this.#stepClock()
    this.#sim.restartLater(host)
  }

  #losePower(): void {
    const host = this.#anyUp()
    if (host !== undefined) host.disk.failsNext = true
  }

  #backUp(): void {
    for (const host of this.#sim.random.sample(this.#sim.hosts, 8)) host.disk.backUp()
  }

  #restore(): void {
    const { random } = this.#sim
    const host = this.#anyUp()
    if (host === undefined) return
    host.crash('its disk is restored')
    this.#sim.network.disconnect(host)
    if (host.disk.restore()) {
      host.witness.diskReplaced()
      this.#sim.restoredDisks += 1
    }
    // Its next epoch then comes from its marks, which are older than its past.
    if (random.chance(0.7)) this.#stepClockOf(host, -STEP_MS)
    this.#sim.restartLater(host)
  }

  #pause(): void {
    const host = this.#anyUp()
    if (host === undefined || host.paused) return
    host.paused = true
    this.#during(`pause of ${host.machine}`, this.#sim.random.between(1_000, 40_000), () => host.resume())
  }

  #renew(): void {
    const host = this.#anyUp()
    if (host !== undefined && host.skewMs === 0) host.renewCertificate()
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

  #anyUp(): Host | undefined {
    return this.#sim.random.pick(this.#sim.hosts.filter(({ up }) => up))
  }
}
