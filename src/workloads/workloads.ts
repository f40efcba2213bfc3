import { type AttestedProcess, type ProcessWatch, sameUser } from '../attest/index.ts'
import { type Clock, detach, ErrorCode, type Logger, loop, type ProcessHandover, WarrenError } from '../core/index.ts'
import {
  type IdentityDocument,
  parseLocalName,
  parsePattern,
  registrationIdOf,
  type SessionTokens,
  spiffeIdOf
} from '../identity/index.ts'
import type { UsageLimits } from '../policy/index.ts'
import { checkTarget, type TargetDeps } from './check-target.ts'
import { attestClaim, type Claim, declaredProcess, notGranted, ownerOf } from './claim.ts'
import { deliveryOf } from './delivery.ts'
import type { Grants } from './grants.ts'
import { adoptAll, type Inherited, left, REGISTRATIONS, type Resumed } from './inherited.ts'
import { clearListenDirectories, removeListenDirectory } from './listen-directory.ts'
import type { PortServers } from './port-servers.ts'
import { checkSize, inZone, type RegisterInput, type Registrant } from './register-input.ts'
import { reviewAll } from './review.ts'
import { checkRoom, type WorkloadLimits } from './room.ts'
import { serverUserOf } from './server-user.ts'
import { WorkloadTable } from './table.ts'
import { uniqueDocument } from './unique-document.ts'
import { type EndReason, type Workload, workloadOf } from './workload.ts'

export interface WorkloadsDeps extends TargetDeps {
  readonly machine: string
  /** Zone of this host: the label of its servers. @default none */
  readonly zone?: string | undefined
  /** Directory of the agent, mode 0711, for listening sockets. */
  readonly listenDir: string
  readonly tokens: SessionTokens
  readonly processes: ProcessWatch
  readonly portServers: Pick<PortServers, 'for'>
  /** The user of a name; undefined if nobody has it. */
  readonly uidOf: (name: string) => Promise<number | undefined>
  /** Called before the registration takes effect; if it throws, there is none. */
  readonly onAdded: (workload: Workload) => void
  /** Called once for each registration, after its token is dead. */
  readonly onEnded: (workload: Workload, reason: EndReason) => void
  readonly clock: Clock
  readonly log: Logger
  readonly limits?: WorkloadLimits
  /** The process before this one, and the next. @default there is none */
  readonly handover?: ProcessHandover | undefined
}

const EXPIRY_CHECK_MS = 500

/** The registrations of this host: grants, tokens, life and end. */
export class Workloads {
  readonly #deps: WorkloadsDeps
  readonly #table = new WorkloadTable()
  readonly #unwatch = new Map<string, () => void>()
  readonly #endings = new Map<string, PromiseWithResolvers<EndReason>>()
  readonly #stopping = new AbortController()
  readonly #requests = new Map<string, Pick<Inherited, 'input' | 'sharesNetwork'>>()
  /** What there is belongs to the next process. */
  #isLeft = false
  constructor(deps: WorkloadsDeps) {
    this.#deps = deps
  }

  start(): void {
    const { log, listenDir } = this.#deps
    clearListenDirectories(listenDir, log, this.#table.all())
    const { signal } = this.#stopping
    const expiry = loop(log, 'workload expiry', { intervalMs: () => EXPIRY_CHECK_MS, signal }, () => this.#expire())
    detach(log, 'workload expiry', expiry, signal)
  }

  /** Ends every registration. */
  stop(): void {
    this.#stopping.abort()
    if (this.#deps.handover?.isFollowed === true) return
    for (const workload of this.#table.all()) this.end(workload.registrationId, 'agent stopped')
  }

  /** Continues the registrations that the process before has left. Resolves with their number. Never rejects. */
  async adopt(): Promise<number> {
    this.#deps.handover?.leave(REGISTRATIONS, () => {
      this.#isLeft = true
      this.#stopping.abort()
      return left(this.#table.all(), this.#requests)
    })
    await adoptAll(this.#deps, (resumed, claim) => this.#admit(resumed.input, resumed.caller, claim, resumed))
    return this.#table.size
  }

  get count(): number {
    return this.#table.size
  }

  /** The limits of a registration of this moment: its own, and those of the entries that grant it. */
  limitsOf(registrationId: string): UsageLimits {
    const workload = this.#table.get(registrationId)
    return workload === undefined ? {} : this.#deps.grants.limitsOf(workload)
  }

  /** Every live registration, oldest first. */
  all(): Workload[] {
    return this.#table.all()
  }

  get(registrationId: string): Workload | undefined {
    return this.#table.get(registrationId)
  }

  /** The registration whose id begins with these 32 hex digits; undefined for any other text. */
  byPrefix(prefix: string): Workload | undefined {
    return this.#table.byPrefix(prefix)
  }

  /**
   * Gives `caller` an address on this machine, and a token for it.
   *
   * The address must be granted to the caller, and to the process that it is registered for, if that is another one. Throws
   * PERMISSION_DENIED (no grant), REVOKED, INVALID_ARGUMENT, LIMIT_EXCEEDED, INVALID_SOURCE (the process has ended),
   * NOT_READY (the agent is stopping) or CANNOT_CONNECT (the listening directory).
   */
  async register(input: RegisterInput, caller: Registrant): Promise<{ workload: Workload; token: string }> {
    const address = parseLocalName(input.address, this.#deps.machine)
    const process = ownerOf(input, caller)
    const attest = () => attestClaim(this.#deps.grants.forClaim(input), process, caller, address)
    return await this.#register(input, { address, process }, attest, () => caller)
  }

  /**
   * Registers what a file of the configuration declares for a user. It lives until it is ended here, and nobody has a token.
   *
   * Throws as `register`: the entries for the user count, but those that ask for facts of a process do not match.
   */
  async declare(input: RegisterInput, uid: number): Promise<Workload> {
    const address = parseLocalName(input.address, this.#deps.machine)
    const process = declaredProcess()
    const attest = async () => [await this.#deps.grants.attestUser(uid)] as const
    const { workload } = await this.#register(input, { address, process }, attest, ([{ view, gids }]) => {
      return { uid, gid: gids[0] ?? uid, process, view, sharesNetwork: true }
    })
    this.#table.keep(workload.registrationId)
    return workload
  }

  async #register<Facts extends readonly AttestedProcess[]>(
    input: RegisterInput,
    { address, process }: Pick<Claim, 'address' | 'process'>,
    attest: () => Promise<Facts>,
    callerOf: (facts: Facts) => Registrant
  ): Promise<{ workload: Workload; token: string }> {
    try {
      const { target } = input
      const named = target !== undefined && 'serverUser' in target ? target.serverUser : undefined
      const serverUser = await serverUserOf(named ?? '', this.#deps.uidOf)
      const facts = await attest()
      await checkTarget(this.#deps, input, address, process, facts)
      return this.#admit(input, callerOf(facts), { address, process, facts, serverUser })
    } catch (err) {
      process.close()
      throw err
    }
  }

  // Nothing is awaited from here to the end: the grant is still valid when it takes effect.
  #admit(
    input: RegisterInput,
    caller: Registrant,
    { address, process, facts, serverUser }: Claim,
    before?: Pick<Resumed, 'document' | 'tokenHash' | 'made'>
  ): { workload: Workload; token: string } {
    const { trustDomain, machine, zone, tokens, clock, log, listenDir, portServers } = this.#deps
    const spiffeId = spiffeIdOf(trustDomain, address)
    if (this.#stopping.signal.aborted) throw new WarrenError(ErrorCode.NotReady, 'the agent is stopping')
    this.#deps.grants.forClaim(input).require(address, spiffeId, facts)
    checkSize(inZone(input, zone))
    checkRoom(this.#table, caller, this.#deps.limits)
    const whitelist = input.whitelist.map(parsePattern)
    const document: IdentityDocument = {
      spiffeId,
      application: input.application,
      scope: address.scope,
      pid: process.pid,
      uid: caller.uid,
      registeredAtMs: clock.wallMs(),
      machine,
      whitelist: whitelist.map(pattern => pattern.text)
    }
    const unique = before?.document ?? uniqueDocument(document, id => this.#table.get(id) !== undefined)
    const { token, tokenHash } = before === undefined ? tokens.issue(unique) : { token: '', ...before }
    const registrationId = registrationIdOf(unique)
    const delivery = deliveryOf(input, {
      caller,
      owner: process,
      listenDir,
      made: before?.made,
      serverAt: (protocol, host, port) =>
        portServers.for({ protocol, host, port, serverUser, uid: caller.uid, spiffeId, registrationId })
    })
    const granted = { address, process, facts, document: unique, tokenHash, delivery, whitelist }
    const workload = workloadOf(inZone(input, zone), caller, granted)
    try {
      // First, since the registry may refuse it.
      this.#deps.onAdded(workload)
    } catch (err) {
      if (delivery.directory !== undefined) removeListenDirectory(delivery.directory, log)
      throw err
    }
    this.#table.add(workload, clock.monotonicMs())
    this.#requests.set(registrationId, { input, sharesNetwork: caller.sharesNetwork })
    this.#unwatch.set(
      workload.registrationId,
      this.#deps.processes.watch(process, () => this.end(workload.registrationId, 'process ended'))
    )
    log.info('workload registered', {
      source: unique.spiffeId,
      registrationId: workload.registrationId,
      uid: caller.uid,
      pid: process.pid
    })
    return { workload, token }
  }

  /** Ends the registrations that are revoked or not granted any more. Resolves when all have been looked at. */
  async review(): Promise<void> {
    const end = (id: string, reason: EndReason): void => this.end(id, reason)
    await reviewAll(this.#table.all(), { ...this.#deps, end, signal: this.#stopping.signal })
  }

  /** The registrations that `review` would end if these were the entries. */
  async preview(policy: Parameters<Grants['under']>[0]): Promise<Workload[]> {
    return await notGranted(this.#deps.grants.under(policy), this.#table.all())
  }

  /** The registrations of the caller's user, oldest first. */
  ofUser(caller: Registrant): Workload[] {
    return this.all().filter(workload => sameUser(workload, caller))
  }

  /** The registration behind a token. Throws TIMEOUT or INVALID_SOURCE; the latter ends what it finds dead. */
  claim(token: string, caller: Registrant, hint?: string): Workload {
    const hash = this.#deps.tokens.hash(token)
    try {
      return this.#table.claim(hash, caller, hint)
    } catch (err) {
      const found = this.#table.byToken(hash)
      if (found?.process.isAlive() === false) this.end(found.registrationId, 'process ended')
      throw err
    }
  }

  /** Extends a registration by its TTL. */
  heartbeat(token: string, caller: Registrant): Workload {
    const workload = this.claim(token, caller)
    this.#table.refresh(workload.registrationId, this.#deps.clock.monotonicMs())
    return workload
  }

  /** Holds a registration until `release`, whose last call ends it; `ended` tells of an end by any other cause. */
  keep(token: string, caller: Registrant): { workload: Workload; ended: Promise<EndReason>; release: () => void } {
    const workload = this.claim(token, caller)
    this.#table.keep(workload.registrationId)
    const ending = this.#endings.get(workload.registrationId) ?? Promise.withResolvers<EndReason>()
    this.#endings.set(workload.registrationId, ending)
    let held = true
    const release = (): void => {
      if (held && this.#table.release(workload.registrationId)) this.end(workload.registrationId, 'connection closed')
      held = false
    }
    return { workload, ended: ending.promise, release }
  }

  /** Lets the time of a registration not run until `release`; undefined if it has ended. */
  hold(registrationId: string): (() => void) | undefined {
    return this.#table.hold(registrationId, () => this.#deps.clock.monotonicMs())
  }

  /** Ends a registration here and now. Does nothing when it has already ended. */
  end(registrationId: string, reason: EndReason): void {
    if (this.#isLeft) return
    const workload = this.#table.remove(registrationId, reason)
    if (workload === undefined) return
    this.#unwatch.get(registrationId)?.()
    this.#unwatch.delete(registrationId)
    this.#requests.delete(registrationId)
    this.#endings.get(registrationId)?.resolve(reason)
    this.#endings.delete(registrationId)
    workload.process.close()
    if (workload.directory !== undefined) removeListenDirectory(workload.directory, this.#deps.log)
    this.#deps.log.info('workload deregistered', { source: workload.spiffeId, registrationId, reason })
    this.#deps.onEnded(workload, reason)
  }

  #expire(): void {
    for (const one of this.#table.expired(this.#deps.clock.monotonicMs())) this.end(one.registrationId, 'expired')
  }
}
