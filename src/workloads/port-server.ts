import type { AskPort, PortHolder } from '../attest/index.ts'
import { ErrorCode, formatHostPort, type HostPort, type Protocol, WarrenError } from '../core/index.ts'
import type { ServerUser } from './server-user.ts'
import type { PortLook, PortServer } from './target.ts'

const ROOT = 0

/** The address is literal. */
export interface PortServerOptions extends HostPort {
  readonly protocol: Protocol
  readonly serverUser: Exclude<ServerUser, { kind: 'any' }>
  /** Uid of the user who registered. */
  readonly uid: number
  readonly ask: AskPort
  /** Called for each refusal, with the user found and the user expected; with the uid at the port, if it is known. */
  readonly onRefused: (problem: string, uid: number | undefined) => void
  /** The first user of the port, where that is the one expected; shared by the checks of one registration. */
  readonly pin: { uid?: number }
  /** Called with the user that the port is expected to belong to from now on. */
  readonly onPinned: (uid: number) => void
}

/** The user who may serve the port of one registration, and the one who does, as the kernel says. */
export class KernelPortServer implements PortServer {
  readonly #options: PortServerOptions
  #refusal: WarrenError | undefined
  #problem: string | undefined
  readonly #listeners = new Set<() => void>()

  constructor(options: PortServerOptions) {
    this.#options = options
  }

  get problem(): string | undefined {
    return this.#problem
  }

  /** Calls back after each change of `problem`; the function returned ends that. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** The same as other hosts may read it: without the user. */
  get refusal(): string | undefined {
    return this.#refusal?.reason
  }

  host(): string {
    return this.#options.host
  }

  /** Whether somebody who may has the port. Takes note of nothing. */
  isServed(): boolean {
    const { protocol, host, port, ask } = this.#options
    try {
      const found = ask({ protocol, host, port, from: undefined })
      const user = this.#user
      return found !== undefined && (user === undefined || found.uid === ROOT || found.uid === user)
    } catch {
      return false
    }
  }

  holder(from?: HostPort): bigint | undefined {
    const found = this.#check(from)
    this.#clear()
    return found?.cookie
  }

  meets(from: HostPort, to: HostPort): boolean {
    return this.#ask(from, to) !== undefined
  }

  hidden(): WarrenError {
    const problem = `${this.#place()} answers, and no socket of this host has it, as with address translation`
    return this.#refuse('its port answers, and no socket of its host has it', problem, undefined)
  }

  /** The same for a port with a listener that lives, past which a connection was led. */
  bypassed(): WarrenError {
    const problem = `${this.#place()} has a listener, but a connection to it ends somewhere else, as with address translation`
    return this.#refuse('its port has a listener, but a connection to it ends somewhere else', problem, undefined)
  }

  look(): PortLook {
    try {
      const found = this.#check(undefined)
      // Only a connection can find out whether something answers even so.
      if (found === undefined) return { ok: false, ...this.#inWords(`nobody has ${this.#place()}`), waiting: 0 }
      this.#clear()
      const { uid, waiting } = found
      const place = this.#place()
      return { ok: true, text: `uid ${uid} has ${place}`, textForOthers: `a server has ${place}`, waiting }
    } catch (err) {
      return { ok: false, ...this.#inWords(WarrenError.from(err).reason), waiting: 0 }
    }
  }

  #inWords(text: string): Pick<PortLook, 'text' | 'textForOthers'> {
    return { text: this.#problem ?? text, textForOthers: this.#refusal?.reason ?? text }
  }

  #check(from: HostPort | undefined): PortHolder | undefined {
    const found = this.#ask(from)
    if (found === undefined || this.#admits(found.uid)) return found
    const problem = `uid ${found.uid} has ${this.#place()}, expected ${this.#expected()}`
    throw this.#refuse('another user has its port', problem, found.uid)
  }

  #clear(): void {
    this.#refusal = undefined
    this.#become(undefined)
  }

  #become(problem: string | undefined): void {
    if (problem === this.#problem) return
    this.#problem = problem
    for (const listener of this.#listeners) listener()
  }

  #ask(from: HostPort | undefined, at: HostPort = this.#options): PortHolder | undefined {
    const { protocol, ask } = this.#options
    try {
      return ask({ protocol, host: at.host, port: at.port, from })
    } catch (cause) {
      const problem = `who has ${this.#place()} cannot be told: ${cause instanceof Error ? cause.message : String(cause)}`
      throw this.#refuse('who has its port cannot be told', problem, undefined, cause)
    }
  }

  #admits(uid: number): boolean {
    if (this.#user === undefined) {
      this.#options.pin.uid = uid
      this.#options.onPinned(uid)
    }
    return uid === ROOT || uid === this.#user
  }

  /** Undefined as long as the first user is accepted. */
  get #user(): number | undefined {
    const { serverUser, uid } = this.#options
    if (serverUser.kind === 'named') return serverUser.uid
    return uid === ROOT ? this.#options.pin.uid : uid
  }

  #expected(): string {
    const user = this.#user
    return user === undefined || user === ROOT ? 'root' : `uid ${user} or root`
  }

  #place(): string {
    const { protocol, host, port } = this.#options
    return `${formatHostPort({ host, port })}/${protocol}`
  }

  #refuse(reason: string, problem: string, uid: number | undefined, cause?: unknown): WarrenError {
    const refusal = new WarrenError(ErrorCode.DestinationUnreachable, reason, {
      cause,
      hint: 'On its host "warren services" says who has the port. Unless that is the server, somebody took the port: stop that program. If it is, "warren expose --server-user" names its user.'
    })
    this.#refusal = refusal
    this.#become(problem)
    this.#options.onRefused(problem, uid)
    return refusal
  }
}
