import { ErrorCode, hostMonotonicMs, packageVersion, WarrenError } from '../core/index.ts'
import type { Program } from './document.ts'
import { type Handover, newHandoverId, reasonOf } from './handover.ts'
import { checkProgram, hasMoreRights, otherProgram, ownProgram } from './program.ts'

/** The process that asks for an upgrade. */
export interface UpgradeCaller {
  readonly uid: number
}

const MESH_PORT = 'mesh port'

/** How the last upgrade went. */
export interface UpgradeOutcome {
  readonly id: string
  /** Why the other program did not start; empty if it did. */
  readonly problem: string
  readonly formerVersion: string
  readonly version: string
  readonly listeners: number
  readonly registrations: number
  readonly flows: number
  /** From the request to the start of the other program until it served. */
  readonly pauseMs: number
}

/** Replaces the program of this process, when an operator asks for it. */
export class Restart {
  readonly handover: Handover
  readonly #env: NodeJS.ProcessEnv
  readonly #asked = Promise.withResolvers<void>()
  readonly #kept: Record<string, number> = {}
  #next: { readonly id: string; readonly program: Program } | undefined
  /** When the listeners were left. */
  #begunMs = hostMonotonicMs()
  #isChecking = false
  #isFollowedLater = false
  /** Undefined until this process serves. */
  #pauseMs: number | undefined

  constructor(handover: Handover, env: NodeJS.ProcessEnv) {
    this.handover = handover
    this.#env = env
  }

  get isAsked(): boolean {
    return this.#next !== undefined || this.#isFollowedLater
  }

  /** This process ends, and a service manager starts the next one: it gets what this one leaves. */
  followedLater(): void {
    this.#isFollowedLater = true
  }

  /** Resolves when this process is to be replaced. */
  get asked(): Promise<void> {
    return this.#asked.promise
  }

  /** Notes that this many of a kind were kept by the last upgrade. */
  note(kind: 'registrations' | 'flows', count: number): void {
    this.#kept[kind] = count
  }

  /** A listener on any port gets the port of the process before: other hosts look for this one there. */
  listenAt<T extends { readonly port: number }>(at: T | undefined): T | undefined {
    const port = this.handover.take(MESH_PORT)?.data
    return at?.port === 0 && typeof port === 'number' ? { ...at, port } : at
  }

  /** The port of the mesh, for the next process. */
  leavePort(port: number): void {
    this.handover.leave(MESH_PORT, () => ({ data: port }))
  }

  /** This process serves. */
  settled(): void {
    const { facts } = this.handover
    if (facts !== undefined) this.#pauseMs = Math.round(hostMonotonicMs() - facts.begunMs)
    this.handover.settle()
  }

  /** This process could not start: the former program runs again, if there is one. Otherwise returns. */
  failed(err: unknown): void {
    this.handover.giveBack(reasonOf(err))
  }

  /**
   * Checks the program at `path`, or the one of this process if that is empty. This process is replaced once this has resolved.
   *
   * Rejects with PERMISSION_DENIED, INVALID_ARGUMENT, UNSUPPORTED, or NOT_READY while another upgrade is under way.
   */
  async begin(path: string, { uid }: UpgradeCaller): Promise<{ readonly id: string; readonly version: string }> {
    if (this.#next !== undefined || this.#isChecking) {
      throw new WarrenError(ErrorCode.NotReady, 'another upgrade is under way')
    }
    // Else a process of the agent's user would have the capabilities of the agent.
    if (path !== '' && uid !== 0 && hasMoreRights()) {
      throw new WarrenError(ErrorCode.PermissionDenied, 'only root may name the program of an agent with capabilities')
    }
    const program = path === '' ? ownProgram() : otherProgram(path)
    this.#isChecking = true
    try {
      const version = await checkProgram(program, this.#env)
      const id = newHandoverId()
      this.#next = { id, program }
      // The answer leaves first.
      setImmediate(() => this.#asked.resolve())
      return { id, version }
    } finally {
      this.#isChecking = false
    }
  }

  /** Stops taking connections: they wait in the kernel for the next process. */
  leaveListeners(): void {
    this.#begunMs = hostMonotonicMs()
    this.handover.leaveListeners()
  }

  /** Replaces this process, which has stopped. Never returns; throws if neither the next program nor this one can be executed. */
  execute(): never {
    const own = ownProgram()
    const { program, id } = this.#next ?? { program: own, id: newHandoverId() }
    try {
      return this.handover.execute(program, id, own, this.#begunMs)
    } catch {
      return this.handover.execute(own, id, own, this.#begunMs)
    }
  }

  /** What a service manager has to keep for the next process, by name; this one has stopped. */
  store(): ReadonlyMap<string, number> {
    return this.handover.store(newHandoverId(), ownProgram(), this.#begunMs)
  }

  /** Undefined if this process follows none, or does not serve yet. */
  get outcome(): UpgradeOutcome | undefined {
    const { facts } = this.handover
    const pauseMs = this.#pauseMs
    if (facts === undefined || pauseMs === undefined) return undefined
    const { id, problem = '', former, counts } = facts
    return {
      id,
      problem,
      formerVersion: former.version,
      version: packageVersion(),
      listeners: counts['listeners'] ?? 0,
      registrations: this.#kept['registrations'] ?? 0,
      flows: this.#kept['flows'] ?? 0,
      pauseMs
    }
  }
}
