import type { AskPort, PortHolder } from '../attest/index.ts'
import { ErrorCode, WarrenError } from '../core/index.ts'
import type { ServerUser } from './server-user.ts'
import type { Protocol, Target } from './workload.ts'

const ROOT = 0

export interface PortServerOptions {
  readonly protocol: Protocol
  readonly host: string
  readonly port: number
  readonly serverUser: Exclude<ServerUser, { kind: 'any' }>
  /** Uid of the user who registered. */
  readonly uid: number
  readonly ask: AskPort
  /** Called for each refusal, with the user found and the user expected; with the uid at the port, if it is known. */
  readonly onRefused: (problem: string, uid: number | undefined) => void
  /** Called with the user that the port is expected to belong to from now on. */
  readonly onPinned: (uid: number) => void
}

/** The address is literal. */
interface PortEnd {
  readonly host: string
  readonly port: number
}

/** The check of the port of a target, if there is one. */
export function serverOf(target: Target | undefined): PortServer | undefined {
  return target === undefined || target.kind === 'unix' ? undefined : target.server
}

/** The user who may serve the port of one registration, and the one who does, according to the kernel. */
export class PortServer {
  readonly #options: PortServerOptions
  #pinned: number | undefined
  #refusal: WarrenError | undefined
  #problem: string | undefined

  constructor(options: PortServerOptions) {
    this.#options = options
  }

  /** Why the last connection, or the last look, was refused, for people of this host; undefined if it was not. */
  get problem(): string | undefined {
    return this.#problem
  }

  /** The same as other hosts may read it: without the user. */
  get refusal(): string | undefined {
    return this.#refusal?.reason
  }

  /**
   * The cookie of the socket that now receives what `from`, or any sender, sends to the port; undefined if there is none.
   *
   * Throws DESTINATION_UNREACHABLE when it is a socket of a user who may not serve the port, or the kernel does not say.
   */
  holder(from?: PortEnd): bigint | undefined {
    const found = this.#check(from)
    this.#clear()
    return found?.cookie
  }

  /**
   * Whether the connection from `from` to `to`, the addresses that its own end has, has its other end on this host as well:
   * address translation may lead it past a listener that lives. Throws DESTINATION_UNREACHABLE if that is unknown.
   */
  meets(from: PortEnd, to: PortEnd): boolean {
    return this.#ask(from, to) !== undefined
  }

  /** The error for a port that answers though no socket of this host has it; it is also noted as the problem. */
  hidden(): WarrenError {
    const problem = `${this.#place()} answers, and no socket of this host has it, as with address translation`
    return this.#refuse('its port answers, and no socket of its host has it', problem, undefined)
  }

  /** Checks now and returns the finding; `ok` if a permitted user has the port. */
  look(): { readonly ok: boolean; readonly text: string } {
    try {
      const found = this.#check(undefined)
      // Only a connection can find out whether something answers even so.
      if (found === undefined) return { ok: false, text: this.#problem ?? `nobody has ${this.#place()}` }
      this.#clear()
      return { ok: true, text: `uid ${found.uid} has ${this.#place()}` }
    } catch (err) {
      return { ok: false, text: this.#problem ?? WarrenError.from(err).reason }
    }
  }

  #check(from: PortEnd | undefined): PortHolder | undefined {
    const found = this.#ask(from)
    if (found === undefined || this.#admits(found.uid)) return found
    const problem = `uid ${found.uid} has ${this.#place()}, expected ${this.#expected()}`
    throw this.#refuse('another user has its port', problem, found.uid)
  }

  #clear(): void {
    this.#refusal = undefined
    this.#problem = undefined
  }

  #ask(from: PortEnd | undefined, at: PortEnd = this.#options): PortHolder | undefined {
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
      this.#pinned = uid
      this.#options.onPinned(uid)
    }
    return uid === ROOT || uid === this.#user
  }

  /** Undefined as long as the first user is accepted. */
  get #user(): number | undefined {
    const { serverUser, uid } = this.#options
    if (serverUser.kind === 'named') return serverUser.uid
    return uid === ROOT ? this.#pinned : uid
  }

  #expected(): string {
    const user = this.#user
    return user === undefined || user === ROOT ? 'root' : `uid ${user} or root`
  }

  #place(): string {
    const { protocol, host, port } = this.#options
    return `${host.includes(':') ? `[${host}]` : host}:${port}/${protocol}`
  }

  #refuse(reason: string, problem: string, uid: number | undefined, cause?: unknown): WarrenError {
    const refusal = new WarrenError(ErrorCode.DestinationUnreachable, reason, {
      cause,
      hint: 'On its host "warren services" says more; "warren expose --server-user" names the user of the server.'
    })
    this.#refusal = refusal
    this.#problem = problem
    this.#options.onRefused(problem, uid)
    return refusal
  }
}
