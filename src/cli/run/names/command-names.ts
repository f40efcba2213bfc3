import { randomInt } from 'node:crypto'
import type { Socket } from 'node:net'
import type { AgentClient, MeshSocket } from '../../../client/index.ts'
import { ErrorCode, sleep, WarrenError } from '../../../core/index.ts'
import { type Destination, indexOf, NameListeners, ZONE } from '../../listeners/names/index.ts'
import type { HostsFile } from './hosts-file.ts'

export interface CommandNamesOptions {
  readonly client: AgentClient
  readonly hosts: HostsFile
  /** The scope of names of two parts; undefined: there are none. */
  readonly scope: string | undefined
  /** Names that the command will probably ask for, in lower case: they come first, and what is wrong with them is said. */
  readonly mentioned: ReadonlySet<string>
  /** Opens the connection of a client, until `signal` aborts. Undefined: it has been served. */
  readonly open: (destination: string, client: Socket, signal: AbortSignal) => Promise<MeshSocket | undefined>
  /** As of `forward`, in milliseconds. */
  readonly keepAliveMs: number
  /** Called for each client that could not be connected or was cut, and for each mentioned name that cannot be had. */
  readonly onFailure: (err: unknown) => void
  /** HTTP comes by the proxy: that a user may not have the ports below 1024 is said once, and not for each name. */
  readonly hasProxy: boolean
}

/** Ports of one name, with those that were declared once. */
const MAX_PORTS = 64
const EVERYTHING = '*.*.*.*'
/** Ports of all names together. */
const MAX_LISTENERS = 256
/** From the end of a stream of services to the next one. */
const RETRY_MS = 1_000

/**
 * Names of DNS for one command: each service that declares ports has an address of its own in its file of hosts, at which its ports
 * lead to the service. What is registered later gets a name as well; what ends keeps it, and its clients learn why they are refused.
 */
export class CommandNames {
  readonly #options: CommandNamesOptions
  readonly #listeners: NameListeners
  /** The ports that were asked for, by name. A port that is declared no more stays. */
  readonly #known = new Map<string, ReadonlySet<number>>()
  /** Names that have an address. */
  readonly #added = new Set<string>()
  readonly #said = new Set<string>()
  #isFull = false
  readonly #over = new AbortController()

  private constructor(options: CommandNamesOptions) {
    this.#options = options
    const { open, keepAliveMs, onFailure } = options
    this.#listeners = new NameListeners({
      ...{ addresses: new DrawnAddresses(), open, keepAliveMs, onFailure },
      maxListeners: Math.ceil(MAX_LISTENERS / 0.75),
      // The command may ask once, and connect much later.
      holdMs: Number.POSITIVE_INFINITY
    })
  }

  /** Resolves once the names of all services of this moment are there. Rejects if the agent does not answer. */
  static async start(options: CommandNamesOptions, signal: AbortSignal): Promise<CommandNames> {
    const names = new CommandNames(options)
    try {
      const { services } = await options.client.workload.listServices({ pattern: EVERYTHING }, { signal })
      const found = await names.#take(services)
      for (const name of options.mentioned) {
        if (!found.has(name))
          names.#say(ErrorCode.DestinationNotFound, `${name}: no such service is known on this host`)
      }
      void names.#follow()
      return names
    } catch (err) {
      names.close()
      throw err
    }
  }

  /** From now on no name is added. */
  stopFollowing(): void {
    this.#over.abort()
  }

  /** Takes no more clients, and resolves once those that it has are served to their end, or `over` aborts. */
  async settle(over: AbortSignal): Promise<void> {
    await this.#listeners.settle(over)
  }

  /** Resets every client and frees all ports. */
  close(): void {
    this.stopFollowing()
    this.#listeners.close()
  }

  /** Follows the services until the end. Never rejects: while the agent is away, the names stay as they are. */
  async #follow(): Promise<void> {
    const { signal } = this.#over
    const { client } = this.#options
    while (!signal.aborted) {
      try {
        const states = client.workload.watchServices({ pattern: EVERYTHING }, { signal, holdsProcess: false })
        for await (const { services } of states) await this.#take(services)
      } catch {
        // Its next answer has everything.
      }
      await sleep(RETRY_MS, signal).catch(() => {})
    }
  }

  /** Returns all names of services, also of those that cannot be had. */
  async #take(services: Parameters<typeof indexOf>[0]): Promise<ReadonlySet<string>> {
    const all = [...indexOf(services)].map(([lower, destinations]) => ({ names: this.#namesOf(lower), destinations }))
    const isMentioned = (names: readonly string[]): boolean => names.some(name => this.#options.mentioned.has(name))
    const wanted = all.filter(({ names }) => names.length > 0)
    const first = wanted.filter(({ names }) => isMentioned(names))
    const rest = wanted.filter(({ names }) => !isMentioned(names))
    for (const { names, destinations } of first) await this.#add(names, destinations, true)
    for (const { names, destinations } of rest) await this.#add(names, destinations, false)
    return new Set(wanted.flatMap(({ names }) => names))
  }

  /** The names of an address in lower case; none for one of a machine that nobody mentions. */
  #namesOf(lower: string): string[] {
    const name = `${lower}.${ZONE}`
    const [scope, group, identity, resource, machine] = lower.split('.')
    if (machine !== undefined) return this.#options.mentioned.has(name) ? [name] : []
    const isShort = scope === this.#options.scope?.toLowerCase() && resource === 'default'
    return isShort ? [name, `${group}.${identity}.${ZONE}`] : [name]
  }

  async #add(names: readonly string[], destinations: readonly Destination[], isMentioned: boolean): Promise<void> {
    const [destination, other] = destinations
    const [name = ''] = names
    if (destination === undefined || this.#over.signal.aborted) return
    // Nothing of it would be said, and each further service would cost an attempt.
    if (this.#isFull && !isMentioned) return
    const { address, ports, servesTcp } = destination
    if (other !== undefined || !servesTcp || ports.length === 0) {
      if (!isMentioned) return
      // Said once; it may declare ports later.
      this.#sayOnce(name, other === undefined ? whyNone(destination) : `${name}: addresses differ in case alone`)
      return
    }
    const known = this.#known.get(name) ?? new Set()
    if (known.size >= MAX_PORTS || ports.every(port => known.has(port))) return
    const all = new Set([...known, ...ports])
    this.#known.set(name, all)
    try {
      const ready = await this.#listeners.ready(address, [...all], process.getuid?.() ?? 0)
      if (this.#over.signal.aborted) return
      if (!this.#added.has(name)) this.#options.hosts.add(ready.address, names)
      this.#added.add(name)
      for (const problem of ready.problems) this.#fail(problem, isMentioned)
    } catch (err) {
      if (this.#over.signal.aborted) return
      this.#fail(err, isMentioned)
    }
  }

  #fail(err: unknown, isMentioned: boolean): void {
    if (WarrenError.is(err, ErrorCode.LimitExceeded)) {
      if (!this.#isFull)
        this.#say(ErrorCode.LimitExceeded, `names of further services are left out: ${MAX_LISTENERS} ports`)
      this.#isFull = true
      return
    }
    if (!isMentioned) return
    // A port that cannot be had is tried again with each further one. With a proxy those below 1024 are missed by few programs.
    const isSpared = this.#options.hasProxy && WarrenError.is(err, ErrorCode.PermissionDenied)
    const key = isSpared ? ErrorCode.PermissionDenied : WarrenError.from(err).reason
    if (this.#said.has(key)) return
    this.#said.add(key)
    this.#options.onFailure(err)
  }

  #sayOnce(key: string, reason: string): void {
    if (this.#said.has(key)) return
    this.#said.add(key)
    this.#say(ErrorCode.CannotConnect, reason)
  }

  #say(code: ErrorCode, reason: string): void {
    this.#options.onFailure(new WarrenError(code, reason))
  }
}

function whyNone({ address, servesTcp }: Destination): string {
  return servesTcp
    ? `${address} declares no port, so it has no name here: warren expose --port PORT, or warren run --forward ${address}=PORT`
    : `${address} serves UDP, so it has no name here: warren forward --udp ${address} --listen …`
}

/** An address of 127.64.0.0/10 for each destination, at random: nobody can choose a name whose address will be that of another one. */
class DrawnAddresses {
  readonly #addresses = new Map<string, string>()
  readonly #taken = new Set<string>()

  addressOf(destination: string): string {
    return this.#addresses.get(destination) ?? this.replace(destination)
  }

  replace(destination: string): string {
    const former = this.#addresses.get(destination)
    for (;;) {
      const address = `127.${randomInt(64, 128)}.${randomInt(0, 256)}.${randomInt(1, 255)}`
      if (this.#taken.has(address)) continue
      if (former !== undefined) this.#taken.delete(former)
      this.#taken.add(address)
      this.#addresses.set(destination, address)
      return address
    }
  }
}
