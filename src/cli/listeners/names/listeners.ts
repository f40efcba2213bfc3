import type { Socket } from 'node:net'
import type { MeshSocket } from '../../../client/index.ts'
import { ErrorCode, formatHostPort, Quota, WarrenError } from '../../../core/index.ts'
import { socketsAt } from '../../../listeners/index.ts'
import { StreamForwarder } from '../stream/forwarder.ts'
import type { NameAddresses } from './name-addresses.ts'

export interface NameListenersOptions {
  readonly addresses: Pick<NameAddresses, 'addressOf' | 'replace'>
  /** Opens the connection of a client, which is known to be one that is served, until `signal` aborts. Undefined: it has been served. */
  readonly open: (destination: string, client: Socket, signal: AbortSignal) => Promise<MeshSocket | undefined>
  /** As of `forward`, in milliseconds. */
  readonly keepAliveMs: number
  /** Called for each client that could not be connected, or was cut. */
  readonly onFailure: (err: unknown) => void
  /** Listeners at once. @default 512 */
  readonly maxListeners?: number
  /** Time for which a listener stays after an answer that led to it, in milliseconds. @default 60_000 */
  readonly holdMs?: number
}

/** Where a destination is reached. */
export interface Ready {
  readonly address: string
  readonly ports: readonly number[]
  /** Why it has none of the other ports. */
  readonly problems: readonly WarrenError[]
}

const MAX_LISTENERS = 512
const HOLD_MS = 60_000
/** The listeners that questions of one user may take: a user who asks for everything leaves the rest to others. */
const SHARE = 0.75
/** Addresses that are tried for one destination, where other programs have its ports. */
const MAX_ATTEMPTS = 4

interface Place {
  readonly destination: string
  readonly address: string
  /** Who asked first. */
  readonly uid: number
  readonly forwarders: Map<number, { readonly forwarder: StreamForwarder; readonly release: () => void }>
  clients: number
  lastMs: number
}

/**
 * Listeners of destinations, made when a name is asked for, each destination at an address of its own.
 *
 * They stay while they have clients, for a minute after each answer, and from then on until others need the room: an address that
 * was answered must not be free for a program of another user while clients may still use it.
 */
export class NameListeners {
  readonly #options: NameListenersOptions
  readonly #holdMs: number
  readonly #quota: Quota<number>
  readonly #places = new Map<string, Place>()
  readonly #making = new Map<string, Promise<Ready>>()
  #isClosed = false

  constructor(options: NameListenersOptions) {
    this.#options = options
    const { maxListeners = MAX_LISTENERS, holdMs = HOLD_MS } = options
    this.#holdMs = holdMs
    this.#quota = new Quota(Math.max(1, Math.floor(maxListeners * SHARE)), maxListeners)
  }

  /** Listeners of this moment. */
  get size(): number {
    return this.#quota.size
  }

  /** Listens at the ports of a destination, of which user `uid` wants to know. Rejects with LIMIT_EXCEEDED, or if no port can be had. */
  async ready(destination: string, ports: readonly number[], uid: number): Promise<Ready> {
    // One after the other: two questions about one destination come at the same time.
    const before = this.#making.get(destination)
    const making = (async () => {
      await before?.catch(() => {})
      return await this.#make(destination, ports, uid)
    })()
    this.#making.set(destination, making)
    try {
      return await making
    } finally {
      if (this.#making.get(destination) === making) this.#making.delete(destination)
    }
  }

  /** Takes no more clients, and resolves once those that it has are served to their end, or `over` aborts. */
  async settle(over: AbortSignal): Promise<void> {
    const forwarders = [...this.#places.values()].flatMap(place => [...place.forwarders.values()])
    await Promise.all(forwarders.map(({ forwarder }) => forwarder.settle(over)))
  }

  /** Resets every client and frees all ports. */
  close(): void {
    this.#isClosed = true
    for (const place of this.#places.values()) this.#end(place)
  }

  async #make(destination: string, ports: readonly number[], uid: number): Promise<Ready> {
    for (let attempt = 1; ; attempt += 1) {
      const place = this.#placeOf(destination, uid)
      for (const [port, { forwarder, release }] of place.forwarders) {
        if (ports.includes(port)) continue
        // It is declared no more. Clients that are connected stay so.
        forwarder.pause()
        release()
        place.forwarders.delete(port)
      }
      const failures: unknown[] = []
      for (const port of ports) {
        if (place.forwarders.has(port)) continue
        await this.#listen(place, port, uid).catch((err: unknown) => failures.push(err))
      }
      if (this.#isClosed) {
        this.#end(place)
        throw new WarrenError(ErrorCode.NotReady, 'the names end')
      }
      place.lastMs = performance.now()
      if (place.forwarders.size === 0) {
        this.#places.delete(destination)
        const isTaken = failures.some(err => WarrenError.is(err, ErrorCode.PortInUse))
        if (!isTaken || attempt === MAX_ATTEMPTS) throw failures[0]
        this.#options.addresses.replace(destination)
        continue
      }
      return {
        address: place.address,
        ports: ports.filter(port => place.forwarders.has(port)),
        problems: failures.map(err => WarrenError.from(err))
      }
    }
  }

  #placeOf(destination: string, uid: number): Place {
    const known = this.#places.get(destination)
    // Added again, so that the idlest is the first.
    this.#places.delete(destination)
    const place = known ?? {
      destination,
      address: this.#options.addresses.addressOf(destination),
      uid,
      forwarders: new Map(),
      clients: 0,
      lastMs: performance.now()
    }
    this.#places.set(destination, place)
    return place
  }

  async #listen(place: Place, port: number, uid: number): Promise<void> {
    const release = this.#takeRoom(uid)
    const forwarder = new StreamForwarder({
      open: (client, gone) => this.#open(place, client, gone),
      keepAliveMs: this.#options.keepAliveMs,
      onFailure: this.#options.onFailure
    })
    try {
      await forwarder.listen(socketsAt({ kind: 'tcp', host: place.address, port }))
      place.forwarders.set(port, { forwarder, release })
    } catch (err) {
      forwarder.close()
      release()
      throw portFault(err, place.address, port)
    }
  }

  async #open(place: Place, client: Socket, gone: AbortSignal): Promise<MeshSocket | undefined> {
    const brokered = await this.#options.open(place.destination, client, gone)
    if (brokered === undefined) return undefined
    place.clients += 1
    client.once('close', () => {
      place.clients -= 1
      place.lastMs = performance.now()
    })
    return brokered
  }

  #takeRoom(uid: number): () => void {
    const isOwn = (place: Place): boolean => place.uid === uid
    for (const makeRoom of [() => true, () => this.#endIdlest(isOwn), () => this.#endIdlest(() => true)]) {
      const release = makeRoom() ? this.#quota.take(uid) : undefined
      if (release !== undefined) return release
    }
    throw new WarrenError(ErrorCode.LimitExceeded, 'all listeners are in use, or were asked for a moment ago', {
      hint: 'Ask again in a minute.'
    })
  }

  /** Whether there was one. */
  #endIdlest(isMeant: (place: Place) => boolean): boolean {
    const before = performance.now() - this.#holdMs
    for (const place of this.#places.values()) {
      if (!isMeant(place) || place.clients > 0 || place.lastMs > before || this.#making.has(place.destination)) continue
      this.#end(place)
      return true
    }
    return false
  }

  #end(place: Place): void {
    this.#places.delete(place.destination)
    for (const { forwarder, release } of place.forwarders.values()) {
      forwarder.close()
      release()
    }
    place.forwarders.clear()
  }
}

/** The failure to listen at a port of a name, with what to do about it. */
function portFault(cause: unknown, address: string, port: number): WarrenError {
  const { code, reason } = WarrenError.from(cause)
  const at = formatHostPort({ host: address, port })
  if (code === ErrorCode.PortInUse) {
    return new WarrenError(code, `another program has ${at}, or port ${port} of all addresses`, {
      hint: `\`ss -ltnp sport = :${port}\` names it; let it listen at 127.0.0.1 alone.`,
      cause
    })
  }
  if (code !== ErrorCode.PermissionDenied) return new WarrenError(code, reason, { cause })
  return new WarrenError(code, `this user may not listen at ports below 1024, such as ${at}`, {
    hint: 'Give warren the capability CAP_NET_BIND_SERVICE, or run it as root.',
    cause
  })
}
