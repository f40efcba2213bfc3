import { WarrenError } from '../../src/core/index.ts'
import type { PeerKey } from '../../src/identity/index.ts'
import type { Cancel } from '../../src/registry/index.ts'
import type { Host } from './host.ts'
import type { Simulation } from './simulation.ts'

const FULL_MESH = 32
const STANDING = 12
/** Neighbours that a message is handed on to, as in gossipsub. */
const FAN_OUT = 8
const REQUEST_TIMEOUT_MS = 5_000
const CHECK_LINKS_MS = 500

/** Whether a partition swallows what one host sends another. */
export type Block = (from: Host, to: Host) => boolean

/** How bad the network is while faults last. */
export interface Weather {
  readonly loss: number
  readonly duplication: number
  readonly garbling: number
  readonly latencyMs: number
}

interface Link {
  readonly a: Host
  readonly b: Host
  up: boolean
  /** How long it has carried nothing. */
  silentMs: number
  patienceMs: number
}

interface Message {
  readonly bytes: Uint8Array
  readonly owner: string
  readonly seen: Set<Host>
}

/** Hosts, the connections between them, and what becomes of what they send. */
export class Network {
  weather: Weather
  readonly blocks = new Set<Block>()
  readonly #sim: Simulation
  readonly #links = new Map<Host, Link[]>()
  readonly #all: Link[] = []

  constructor(sim: Simulation, weather: Weather) {
    this.#sim = sim
    this.weather = weather
  }

  start(): void {
    this.#sim.queue.after(CHECK_LINKS_MS, () => {
      for (const link of this.#all) this.#check(link)
      this.start()
    })
  }

  /** Gives a new host its standing connections: to all, or in a large mesh to some. */
  add(host: Host): void {
    const others = [...this.#links.keys()]
    this.#links.set(host, [])
    const chosen = others.length < FULL_MESH ? others : this.#sim.random.sample(others, STANDING)
    for (const other of chosen) {
      const link = { a: host, b: other, up: false, silentMs: 0, patienceMs: 0 }
      this.#links.get(host)!.push(link)
      this.#links.get(other)!.push(link)
      this.#all.push(link)
    }
  }

  connected(host: Host): PeerKey[] {
    return this.#upLinks(host).map(link => otherEnd(link, host).peer)
  }

  /** A crash ends every connection. */
  disconnect(host: Host): void {
    for (const link of this.#links.get(host) ?? []) link.up = false
  }

  publish(from: Host, bytes: Uint8Array): void {
    const message: Message = { bytes, owner: from.machine, seen: new Set([from]) }
    this.#forward(from, message)
  }

  request(
    from: Host,
    peer: PeerKey,
    bytes: Uint8Array,
    onResponse: (bytes: Uint8Array) => void,
    onFailure: (err: unknown) => void
  ): Cancel {
    const to = this.#sim.host(peer)
    return this.#exchange(from, to, onFailure, 'sync', () => {
      const response = to.act(driver => driver.answer(bytes))
      return response === undefined ? undefined : () => onResponse(this.#maybeGarbled(response))
    })
  }

  ack(
    from: Host,
    peer: PeerKey,
    bytes: Uint8Array,
    onDelivered: () => void,
    onFailure: (err: unknown) => void
  ): Cancel {
    const to = this.#sim.host(peer)
    return this.#exchange(from, to, onFailure, 'ack', () => {
      const taken = to.act(driver => {
        driver.dispatch({ type: 'ack', from: from.peer, bytes })
        return true
      })
      return taken === undefined ? undefined : onDelivered
    })
  }

  gather(
    from: Host,
    peer: PeerKey,
    bytes: Uint8Array,
    onDelivered: () => void,
    onFailure: (err: unknown) => void
  ): Cancel {
    const to = this.#sim.host(peer)
    const serve = (): (() => void) | undefined => {
      const failure = to.act(() => failureOf(() => to.gathering?.receive(from.peer, bytes)))
      if (failure === undefined) return undefined
      return failure === 'none' ? onDelivered : () => onFailure(failure)
    }
    // What is sent twice, late, must change nothing.
    if (this.#sim.random.chance(this.weather.duplication)) {
      this.#exchange(
        from,
        to,
        () => {},
        'gather again',
        () => (serve() === undefined ? undefined : () => {})
      )
    }
    return this.#exchange(from, to, onFailure, 'gather', serve)
  }

  blocked(from: Host, to: Host): boolean {
    for (const block of this.blocks) if (block(from, to)) return true
    return false
  }

  #exchange(
    from: Host,
    to: Host,
    onFailure: (err: unknown) => void,
    what: string,
    serve: () => (() => void) | undefined
  ): Cancel {
    const { queue, trace } = this.#sim
    let over = false
    const settle = (then: () => void): void => {
      if (over) return
      over = true
      then()
    }
    const cancelTimer = from.later(REQUEST_TIMEOUT_MS, () => settle(() => onFailure(new Error('timed out'))))
    if (!to.up && this.#sim.random.chance(0.5)) {
      from.later(this.#latency(), () => settle(() => onFailure(new Error('refused'))))
    } else {
      queue.after(this.#streamLatency(), () => {
        if (this.blocked(from, to)) return
        to.later(0, () => {
          trace.add(queue.nowMs, what, to.machine, from.machine)
          const answer = serve()
          if (answer === undefined || this.blocked(to, from)) return
          from.later(this.#streamLatency(), () => settle(answer))
        })
      })
    }
    return () => {
      over = true
      cancelTimer()
    }
  }

  #forward(host: Host, message: Message): void {
    const { random } = this.#sim
    const { loss, duplication, garbling } = this.weather
    const ends = this.#upLinks(host).map(link => otherEnd(link, host))
    for (const to of random.sample(ends, FAN_OUT)) {
      if (random.chance(loss)) continue
      // A copy that was changed on the way is another message.
      if (random.chance(garbling)) {
        this.#deliver(host, to, { ...message, bytes: this.#garbled(message.bytes), seen: new Set([host]) }, 0)
      }
      // Late, and past the memory of what has been seen.
      if (random.chance(duplication)) {
        this.#deliver(host, to, { ...message, seen: new Set([host]) }, random.between(0, 90_000))
      }
      if (!message.seen.has(to)) this.#deliver(host, to, message, 0)
    }
  }

  #deliver(from: Host, to: Host, message: Message, delayMs: number): void {
    const { queue, trace } = this.#sim
    queue.after(delayMs + this.#latency(), () => {
      if (message.seen.has(to) || this.blocked(from, to)) return
      to.later(0, driver => {
        if (message.seen.has(to)) return
        message.seen.add(to)
        const { verdict, reason } = driver.gossip(message.bytes, from.peer)
        trace.add(queue.nowMs, 'gossip', to.machine, message.owner, `${verdict} ${reason} from ${from.machine}`)
        if (verdict === 'accept' || verdict === 'accept-later') this.#forward(to, message)
      })
    })
  }

  #check(link: Link): void {
    const { a, b } = link
    const { random } = this.#sim
    const carries = a.up && b.up && !this.blocked(a, b) && !this.blocked(b, a)
    if (link.up) {
      link.silentMs = carries ? 0 : link.silentMs + CHECK_LINKS_MS
      if (a.up && b.up && link.silentMs <= link.patienceMs) return
      link.up = false
    } else if (carries && !random.chance(0.5)) {
      link.up = true
      link.silentMs = 0
      link.patienceMs = random.between(3_000, 15_000)
      a.act(driver => driver.syncWith(b.peer))
      b.act(driver => driver.syncWith(a.peer))
    }
  }

  #upLinks(host: Host): Link[] {
    return (this.#links.get(host) ?? []).filter(({ up }) => up)
  }

  #maybeGarbled(bytes: Uint8Array): Uint8Array {
    return this.#sim.random.chance(this.weather.garbling) ? this.#garbled(bytes) : bytes
  }

  #garbled(bytes: Uint8Array): Uint8Array {
    const copy = Uint8Array.from(bytes)
    const at = this.#sim.random.int(copy.length)
    copy[at] = (copy[at] ?? 0) ^ (1 << this.#sim.random.int(8))
    return copy
  }

  /** Most messages take about the median, some many times that, so that they overtake each other. */
  #latency(): number {
    const { random } = this.#sim
    const spread = Math.exp(2 * (random.next() + random.next() + random.next() - 1.5))
    return this.weather.latencyMs * spread
  }

  // What is lost in a stream is sent again.
  #streamLatency(): number {
    let ms = this.#latency()
    while (this.#sim.random.chance(this.weather.loss)) ms += 200 + this.#latency()
    return ms
  }
}

function failureOf(work: () => void): unknown {
  try {
    work()
    return 'none'
  } catch (err) {
    if (!(err instanceof WarrenError)) throw err
    return err
  }
}

function otherEnd({ a, b }: Link, host: Host): Host {
  return a === host ? b : a
}
