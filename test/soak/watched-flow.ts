import { setTimeout as pause } from 'node:timers/promises'
import type { Fleet } from './fleet.ts'
import { NAMES, type Name } from './network.ts'
import { type Protocol, startTalk, type Talk } from './numbers.ts'
import { addressOf, type Route } from './routes.ts'

const RETRY_MS = 250
const LOOK_MS = 20

/** Whether the first number has come back before its end. */
async function answered(talk: Talk): Promise<boolean> {
  let isOver = false
  void talk.ended.then(() => {
    isOver = true
  })
  while (talk.received === 0 && !isOver) await pause(LOOK_MS)
  return !isOver
}

export type OnEnd = (flow: WatchedFlow, reason: string) => void

/** One flow that is opened again whenever it has ended, until `stop`. */
export class WatchedFlow {
  readonly name: string
  readonly source: string
  readonly destination: string
  readonly protocol: Protocol
  readonly route: Route
  /**
   * The hosts that its session passes, in order, since it was opened last; several where that is not known: while its datagrams
   * travel directly in packets of their own, `warren flows` does not say by which carrier its session runs.
   */
  paths: ReadonlyArray<readonly Name[]>
  opened = 0
  /** Why it is not open, for whoever waits in vain. */
  problem = 'it was never opened'
  readonly #fleet: Fleet
  readonly #onEnd: OnEnd
  readonly #stop = new AbortController()
  #talk: Talk | undefined
  #closing: Talk | undefined
  #receivedBefore = 0

  constructor(fleet: Fleet, route: Route, protocol: Protocol, onEnd: OnEnd) {
    const { from, to } = route
    this.name = `${from}→${to} ${protocol}`
    this.source = `soak.client.${from}-${to}-${protocol}.default`
    this.destination = addressOf(to, protocol)
    this.protocol = protocol
    this.route = route
    this.paths = [[from, to]]
    this.#fleet = fleet
    this.#onEnd = onEnd
  }

  /** Numbers that came back, of all its connections. */
  get received(): number {
    return this.#receivedBefore + (this.#talk?.received ?? 0)
  }

  get isOpen(): boolean {
    return this.#talk !== undefined
  }

  /** Keeps it open. Resolves after `stop`. */
  async run(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      const talk = await this.#open().catch((err: unknown) => {
        this.problem = String(err)
      })
      if (talk === undefined) {
        await pause(RETRY_MS)
        continue
      }
      this.#talk = talk
      this.opened += 1
      const reason = await talk.ended
      this.#receivedBefore += talk.received
      this.#talk = undefined
      if (this.#closing === talk) continue
      this.problem = `it ended: ${reason}`
      this.#onEnd(this, reason)
    }
  }

  /** Closes its connection, which is no end that needs a cause. */
  close(): void {
    this.#closing = this.#talk
    this.#talk?.close()
  }

  stop(): void {
    this.#stop.abort()
    this.close()
  }

  /** Undefined, and it is closed again, if it goes another way than it is meant to: right after a fault it may. */
  async #open(): Promise<Talk | undefined> {
    const member = this.#fleet.members[this.route.from]
    const talk = await startTalk(member.client, this.source, this.destination, this.protocol)
    // Before the first answer it may still be tried by one carrier after the other.
    const isAlive = await answered(talk)
    const carrier = !isAlive ? undefined : await member.carrierOf(this.source, this.destination).catch(() => undefined)
    const [kind = '', relay] = carrier?.split(' via ') ?? []
    if (this.route[this.protocol].includes(kind)) {
      this.paths = pathsOf(this.route, kind, relay as Name | undefined)
      return talk
    }
    talk.close()
    await talk.ended
    this.problem = `it went by ${carrier ?? 'nothing'}`
    return undefined
  }
}

function pathsOf({ from, to }: Route, carrier: string, relay: Name | undefined): ReadonlyArray<readonly Name[]> {
  if (relay !== undefined) return [[from, relay, to]]
  if (carrier !== 'udp') return [[from, to]]
  return [[from, to], ...NAMES.filter(name => name !== from && name !== to).map(name => [from, name, to])]
}
