import { type Clock, ErrorCode, raceAbort, WarrenError, within } from '../core/index.ts'
import { parseCgroup } from './cgroup.ts'
import type { ContainerFacts, ContainerFinder, FindContainer } from './containers/index.ts'
import { DirectoryService } from './directory-service.ts'
import { ExecutableHasher } from './hasher.ts'
import { readKubernetesKeys } from './kubernetes-keys.ts'
import type { SecurityLabels } from './labels.ts'
import type { ProcessHandle } from './process-handle.ts'
import type { ProcessReader } from './process-reader.ts'
import { processReader } from './select.ts'
import { UserDatabase } from './user-database.ts'
import type { LocalUser } from './view.ts'

/** The facts about a process, as the kernel says. A fact that could not be established is undefined, and matches no entry. */
export interface ProcessFacts extends SecurityLabels {
  readonly uid: number
  /** Names of that uid. */
  readonly users: readonly string[]
  readonly gids: readonly number[]
  readonly groups: readonly string[]
  readonly exePath: string | undefined
  /** Hex. Costly, so only established when an entry asks for it. */
  readonly exeSha256: string | undefined
  readonly systemdUnit: string | undefined
  readonly cgroup: string | undefined
  /** Read from the files of a runtime, so only looked for when an entry asks for it. */
  readonly container?: ContainerFacts
  /** It is in a user namespace of its own, whose maker chose its user: only entries that name its container count. */
  readonly hasOwnUserIds?: true
}

/** The facts of a process, and from where it sees the host. */
export interface AttestedProcess extends LocalUser, ProcessFacts {
  /** There is no process: a file of the configuration names the user. Nothing is known but the user and the groups. */
  readonly isDeclared?: true
}

/** A process that is held, and the user that the kernel named when it connected. */
export interface HeldProcess {
  readonly uid: number
  readonly gid: number
  readonly process: ProcessHandle
}

/** The costly facts that are wanted besides the others. Called again with each one found. */
export interface Wanted {
  /** @default no container is looked for */
  readonly container?: (facts: AttestedProcess) => boolean
  readonly executable: (facts: AttestedProcess) => boolean
  readonly hash: (facts: AttestedProcess) => boolean
}

export interface AttestorOptions {
  readonly reader?: ProcessReader
  readonly users?: UserDatabase
  readonly hasher?: ExecutableHasher
  readonly containers?: Pick<ContainerFinder, 'find'>
  /** File of the public keys (JWKS) of the Kubernetes cluster of this host. @default service accounts are not established */
  readonly kubernetesKeys?: string | undefined
}

/** An executable on a file system that does not answer must not hold up its caller for longer. */
const OPEN_TIMEOUT_MS = 5_000
/** The same for the files of a container's runtime. */
const LOOKUP_TIMEOUT_MS = 5_000
/** Callers whose executables wait for one that is being opened. */
export const MAX_WAITING = 64

type OpenedExecutable = Awaited<ReturnType<ProcessReader['openExecutable']>>

/** Finds out the facts about processes that entries need. */
export class Attestor {
  readonly #reader: ProcessReader
  readonly #users: UserDatabase
  readonly #hasher: ExecutableHasher
  readonly #clock: Clock
  readonly #kubernetesKeys: string | undefined
  #containers: Pick<ContainerFinder, 'find'> | undefined
  #last: Promise<unknown> = Promise.resolve()
  #waiting = 0

  /** Throws INVALID_OPTION for a file of keys that cannot be used. */
  constructor(clock: Clock, options: AttestorOptions = {}) {
    this.#reader = options.reader ?? processReader()
    this.#users = options.users ?? new UserDatabase(new DirectoryService(clock))
    this.#hasher = options.hasher ?? new ExecutableHasher(clock)
    this.#clock = clock
    this.#containers = options.containers
    this.#kubernetesKeys = options.kubernetesKeys
    if (this.#kubernetesKeys !== undefined) readKubernetesKeys(this.#kubernetesKeys)
  }

  /**
   * The facts of a held process, with those of its container and its executable if they are wanted.
   *
   * Everything is read by pid; if the process still lives afterwards, all of it was read of that very
   * process. Throws PERMISSION_DENIED for a user id that means nothing here, INVALID_SOURCE when the process has ended or
   * changes its executable, LIMIT_EXCEEDED when hashing it would cost too much.
   */
  async attest(held: HeldProcess, wanted: Wanted): Promise<AttestedProcess> {
    const plain = await this.#plainFacts(held)
    const facts = wanted.container?.(plain) === true ? await this.#withContainer(held, plain) : plain
    if (facts.hasOwnUserIds === true && facts.container === undefined)
      throw foreign(`process ${held.process.pid} is in a user namespace of its own`)
    if (!wanted.executable(facts)) return facts
    const complete = await this.#withExecutable(held, facts, wanted)
    requireAlive(held)
    return complete
  }

  /** The facts about a user of this host for whom the agent itself acts. */
  async attestUser(uid: number): Promise<AttestedProcess> {
    if (uid === this.#reader.overflowId())
      throw foreign(`uid ${uid} stands for every user without a meaning here`, NOBODY)
    const gids = this.#users.gidsOf(uid)
    const [users, groups] = [await this.#users.usersOf(uid), await this.#users.groupsOf(gids)]
    const view = this.#reader.viewOf(process.pid)
    const unknown = { exePath: undefined, exeSha256: undefined, systemdUnit: undefined, cgroup: undefined }
    return { uid, view, users, gids, groups, ...unknown, isDeclared: true }
  }

  async #plainFacts(held: HeldProcess): Promise<AttestedProcess> {
    const { uid, gid } = held
    const { pid } = held.process
    try {
      if (uid === this.#reader.overflowId())
        throw foreign(`uid ${uid} stands for every user without a meaning here`, NOBODY)
      const own = this.#reader.sharesUserIds(pid) ? {} : ({ hasOwnUserIds: true } as const)
      const view = this.#reader.viewOf(pid)
      const gids = [...new Set([gid, ...this.#reader.groupIdsOf(pid)])]
      const { cgroup, systemdUnit } = parseCgroup(this.#reader.cgroupOf(pid) ?? '')
      const [users, groups] = [await this.#users.usersOf(uid), await this.#users.groupsOf(gids)]
      const labels = this.#reader.labelsOf(pid)
      requireAlive(held)
      const executable = { exePath: undefined, exeSha256: undefined }
      return { uid, view, users, gids, groups, ...executable, systemdUnit, cgroup, ...labels, ...own }
    } catch (err) {
      if (err instanceof WarrenError) throw err
      throw new WarrenError(ErrorCode.InvalidSource, `process ${pid} cannot be examined`, { cause: err })
    }
  }

  async #withContainer(held: HeldProcess, facts: AttestedProcess): Promise<AttestedProcess> {
    const { pid } = held.process
    const found = await within(LOOKUP_TIMEOUT_MS, [], signal => raceAbort(this.#container(pid, facts), signal)).catch(
      err => {
        if (err instanceof WarrenError && err.code === ErrorCode.LimitExceeded) throw err
        return undefined
      }
    )
    requireAlive(held)
    return found === undefined ? facts : { ...facts, container: found }
  }

  async #container(pid: number, facts: AttestedProcess): Promise<ContainerFacts | undefined> {
    const uid = this.#reader.runtimeOwnerOf(pid)
    if (uid === undefined) return undefined
    if (this.#containers === undefined) {
      const { ContainerFinder } = await import('./containers/index.ts')
      const find = await this.#find()
      // Others may have come meanwhile: with a finder each, their look-ups would not count together.
      this.#containers ??= new ContainerFinder(this.#clock, this.#users, find)
    }
    return await this.#containers.find(pid, uid, senderOf(facts, uid))
  }

  async #find(): Promise<FindContainer> {
    const { findContainer, ServiceAccounts } = await import('./containers/index.ts')
    if (this.#kubernetesKeys === undefined) return findContainer
    const accounts = new ServiceAccounts(this.#kubernetesKeys, this.#clock)
    return async (pid, uid) => await findContainer(pid, uid, { serviceAccountOf: one => accounts.of(one) })
  }

  async #withExecutable(held: HeldProcess, facts: AttestedProcess, wanted: Wanted): Promise<AttestedProcess> {
    const opened = await within(OPEN_TIMEOUT_MS, [], signal => raceAbort(this.#open(held.process.pid), signal))
    if (opened === undefined) return facts
    try {
      const withPath = { ...facts, exePath: opened.path }
      if (!wanted.hash(withPath)) return withPath
      return { ...withPath, exeSha256: await this.#hasher.hash(opened.file, held.uid) }
    } finally {
      await opened.file.close()
    }
  }

  // One at a time: Node does file work on four threads, and a file system that does not answer must not take them all.
  async #open(pid: number): Promise<OpenedExecutable | undefined> {
    if (this.#waiting >= MAX_WAITING) {
      throw new WarrenError(ErrorCode.LimitExceeded, 'too many executables wait to be examined', {
        limit: 'attest_waiting',
        hint: 'Try again in a moment.'
      })
    }
    this.#waiting += 1
    const turn = this.#last.then(() => this.#reader.openExecutable(pid).catch(() => undefined))
    this.#last = turn
    try {
      return await turn
    } finally {
      this.#waiting -= 1
    }
  }
}

// One container must not take the turns of another. In user namespaces there may be any number of them, all of one maker.
function senderOf({ uid, view, hasOwnUserIds }: AttestedProcess, owner: number): string {
  if (hasOwnUserIds === true) return `maker ${owner}`
  return view.isOfHost ? `user ${uid}` : `view ${view.key}`
}

function requireAlive({ process }: HeldProcess): void {
  if (process.isAlive()) return
  throw new WarrenError(ErrorCode.InvalidSource, `process ${process.pid} has ended`)
}

const CONTAINER =
  'A container must run its workloads as users of the host, be named by an entry (--container), or have an agent of its own.'
const NOBODY = `On the host: run the program as a user of its own, and not as nobody. ${CONTAINER}`

function foreign(reason: string, hint = CONTAINER): WarrenError {
  return new WarrenError(ErrorCode.PermissionDenied, reason, { hint })
}
