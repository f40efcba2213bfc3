import type { Socket } from 'node:net'
import { type AgentClient, connect, type MeshSocket, preflight, type Strategy } from '../../../client/index.ts'
import { ErrorCode, Quota, WarrenError } from '../../../core/index.ts'
import type { DnsAnswer, DnsQuestion } from '../../../listeners/index.ts'
import { clauseWithHint, withNextStep } from '../../output/index.ts'
import { explainRefusal, HTTP_PORT, RefusedHttp } from '../proxy/index.ts'
import { answerOf, asksForAddress, innerAnswer, otherAnswer, type Resolution, wantsListeners } from './answers.ts'
import { type Destination, ServiceDirectory } from './directory.ts'
import { NameListeners } from './listeners.ts'
import type { NameAddresses } from './name-addresses.ts'
import type { NameUsers } from './name-users.ts'
import { Permissions } from './permissions.ts'
import { zoneName } from './zone.ts'

export interface MeshNamesOptions {
  readonly client: () => AgentClient
  readonly addresses: NameAddresses
  /** The scope of names of two parts; undefined: there are none. */
  readonly scope?: string | undefined
  /** Ports of services that declare none. */
  readonly ports: readonly number[]
  readonly strategy: Strategy
  readonly keepAliveMs: number
  /** The uid at the other end of a client's connection. Throws PERMISSION_DENIED if it is unknown. */
  readonly uidOf: (client: Socket) => number
  /** Who is connected, and as whom. */
  readonly users: NameUsers
  /** Called for each client that could not be connected, or was cut. */
  readonly onFailure: (err: unknown) => void
}

const APPLICATION = 'warren dns'
const MAX_PER_UID = 1_024
const MAX_CLIENTS = 4_096
/** Destinations that have listeners from the start. */
const MAX_RESTORED = 64

/** Names of DNS for the services of the mesh, and the listeners to which they lead. */
export class MeshNames {
  readonly #options: MeshNamesOptions
  readonly #directory: ServiceDirectory
  readonly #permissions: Permissions
  readonly #listeners: NameListeners
  readonly #refused: RefusedHttp
  readonly #clients = new Quota<number>(MAX_PER_UID, MAX_CLIENTS)

  constructor(options: MeshNamesOptions) {
    this.#options = options
    const { client, addresses, keepAliveMs, onFailure, strategy } = options
    this.#refused = new RefusedHttp({ onFailure })
    this.#directory = new ServiceDirectory(client)
    this.#permissions = new Permissions(async (destination, as, signal) => {
      const common = { client: client(), as, strategy, signal, explicitEnd: true, application: APPLICATION }
      await preflight(destination, common).catch((err: unknown) => {
        throw withNextStep(err, as, destination)
      })
    })
    this.#listeners = new NameListeners({
      addresses,
      keepAliveMs,
      onFailure,
      open: (destination, local, signal) => this.#open(destination, local, signal)
    })
  }

  /** Answers a question of a user. Rejects if the agent does not answer. */
  async answer(question: DnsQuestion, uid: number): Promise<DnsAnswer> {
    const name = zoneName(question.name, this.#options.scope)
    if (name.kind === 'other' || !['IN', 'ANY'].includes(question.dnsClass)) return otherAnswer()
    if (name.kind === 'inner') return innerAnswer(question, name.why)
    if (name.kind === 'malformed') return answerOf(question, { kind: 'unknown', why: name.why })
    return answerOf(question, await this.#resolve(name.address, name.port, question.type, uid))
  }

  /**
   * Listens for the destinations that were asked for last, as far as they are known: clients, and resolvers, may still have their
   * addresses. Never rejects.
   */
  async restore(): Promise<void> {
    const uid = process.getuid?.() ?? 0
    for (const destination of this.#options.addresses.recent(MAX_RESTORED)) {
      try {
        const found = await this.#directory.find(destination.toLowerCase())
        if (found.kind === 'found') await this.#reach(found.destination, undefined, 'A', uid, '')
      } catch (err) {
        this.#options.onFailure(err)
      }
    }
  }

  /** Resets every client and frees all ports. */
  close(): void {
    this.#listeners.close()
  }

  async #resolve(lower: string, port: number | undefined, type: string, uid: number): Promise<Resolution> {
    const found = await this.#directory.find(lower)
    if (found.kind === 'unknown') return { kind: 'unknown', why: `no service ${lower} is known on this host` }
    if (found.kind === 'ambiguous') {
      const why = `names have no case, and these addresses differ in it alone: ${found.addresses.join(', ')}`
      return { kind: 'refused', why }
    }
    const { destination } = found
    const { users } = this.#options
    const shared = users.sharedSource(destination.address)
    const source = users.haveOwn ? await users.sourceOf(uid, destination.address).catch(() => undefined) : shared
    // Where users have sources of their own, who asks may be a resolver: only a text is about who asks.
    const refusal =
      source === undefined || (users.haveOwn && type !== 'TXT')
        ? undefined
        : await this.#permissions.objectionTo(destination.address, source)
    if (refusal === undefined) return await this.#reach(destination, port, type, uid, source ?? shared)
    const why = clauseWithHint(refusal)
    // A browser shows no text of DNS; at the port of HTTP it gets a page that says why.
    if (!this.#hasPage(destination, port)) return { kind: 'refused', why }
    // The name exists: resolvers that ask for two kinds of addresses believe the answer that says otherwise, and drop the address.
    if (!asksForAddress(type) && type !== 'TXT') return { kind: 'none', why }
    const reached = asksForAddress(type) ? await this.#reach(destination, port, type, uid, shared) : undefined
    return reached?.kind === 'ready' && reached.ports.includes(HTTP_PORT)
      ? { ...reached, refusal: why }
      : { kind: 'refused', why }
  }

  #hasPage({ ports, servesTcp }: Destination, port: number | undefined): boolean {
    const declared = ports.length > 0 ? ports : this.#options.ports
    return servesTcp && port === undefined && declared.includes(HTTP_PORT)
  }

  async #reach(
    destination: Destination,
    port: number | undefined,
    type: string,
    uid: number,
    source: string
  ): Promise<Resolution> {
    const { address, servesTcp } = destination
    if (!servesTcp) return { kind: 'none', why: `${address} serves UDP: warren forward --udp ${address} --listen …` }
    const declared = destination.ports.length > 0 ? destination.ports : this.#options.ports
    if (declared.length === 0) {
      return { kind: 'none', why: `${address} declares no port: warren expose --port PORT, or warren dns --port PORT` }
    }
    if (port !== undefined && !declared.includes(port)) {
      return { kind: 'none', why: `${address} declares port ${declared.join(', ')}, and not ${port}` }
    }
    const facts = [`leads to ${address}`, `ports ${declared.join(' ')}`, `as ${source}`]
    if (!wantsListeners(type)) return { kind: 'ready', address: undefined, ports: declared, facts }
    try {
      const { address: at, ports, problems } = await this.#listeners.ready(address, declared, uid)
      for (const problem of problems) this.#options.onFailure(problem)
      if (port !== undefined && !ports.includes(port))
        return { kind: 'failed', why: problems.map(clauseWithHint).join('; ') }
      return { kind: 'ready', address: at, ports: port === undefined ? ports : [port], facts }
    } catch (err) {
      this.#options.onFailure(err)
      return { kind: 'failed', why: clauseWithHint(err) }
    }
  }

  async #open(destination: string, local: Socket, signal: AbortSignal): Promise<MeshSocket | undefined> {
    const { client, strategy, uidOf, users } = this.#options
    // Asked before anything is read: it is a question about this moment.
    const uid = uidOf(local)
    const release = this.#clients.take(uid)
    if (release === undefined) {
      throw new WarrenError(ErrorCode.LimitExceeded, `uid ${uid} has too many connections to names`)
    }
    local.once('close', release)
    const as = await users.sourceOf(uid, destination)
    const options = { client: client(), as, strategy, signal, explicitEnd: true, application: APPLICATION }
    const open = async (): Promise<MeshSocket> => {
      try {
        return await connect(destination, options)
      } catch (err) {
        throw withNextStep(err, as, destination)
      }
    }
    // The checks are asked for with the rights of this process, which other users do not have.
    const mayKnow = uid === process.getuid?.()
    return await this.#refused.orAnswer(
      local,
      open,
      async (err, limit) => (mayKnow ? await explainRefusal(client(), err, as, destination, limit) : undefined),
      signal
    )
  }
}
