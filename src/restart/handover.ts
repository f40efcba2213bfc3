import { randomBytes } from 'node:crypto'
import { closeSync, ftruncateSync, openSync } from 'node:fs'
import { isIP, type Server } from 'node:net'
import { constants } from 'node:os'
import {
  descriptorOf,
  type HostPort,
  type Left,
  type ProcessHandover,
  packageVersion,
  WarrenError
} from '../core/index.ts'
import type { RestartCalls } from './calls.ts'
import { type HandoverFacts, MEMORY_NAME, type Program, readDocument, writeDocument } from './document.ts'
import { DOCUMENT, storedName } from './stored.ts'

const VARIABLE = 'WARREN_HANDOVER'

export interface HandoverOptions {
  readonly calls: RestartCalls
  /** The environment for the next program. */
  readonly env: NodeJS.ProcessEnv
  /** What a service manager has kept for this process, by name. */
  readonly stored: ReadonlyMap<string, number>
}

/** A descriptor that was left, and is not there. */
const MISSING = -1

/** What the process before this one has left, and what this one leaves to the next. */
export class Handover implements ProcessHandover {
  readonly #calls: RestartCalls
  readonly #env: NodeJS.ProcessEnv
  readonly #former: ReturnType<typeof readDocument> | undefined
  readonly #taken = new Set<string>()
  readonly #listeners = new Map<string, Server>()
  readonly #making = new Map<string, () => Left | Promise<Left>>()
  readonly #left = new Map<string, Left>()
  /** The process before has ended: its program is not there to run again. */
  readonly #isStored: boolean
  #isSettled: boolean
  #isLeaving = false

  constructor({ calls, env, stored }: HandoverOptions) {
    this.#calls = calls
    const { [VARIABLE]: variable, ...others } = env
    this.#env = others
    this.#isStored = variable === undefined && stored.size > 0
    this.storedNames = [...stored.keys()]
    this.#former = this.#isStored
      ? this.#readStored(stored)
      : variable === undefined
        ? undefined
        : this.#read(Number(variable))
    this.#isSettled = this.#former === undefined
  }

  /** The names of what a service manager has kept for this process, and keeps until it is notified. */
  readonly storedNames: readonly string[]

  get isFollowed(): boolean {
    return this.#isLeaving || !this.#isSettled
  }

  /** What is known of the process before; undefined if this one follows none. */
  get facts(): HandoverFacts | undefined {
    return this.#former?.facts
  }

  // The originals stay until this process serves: else the former program could not have them back.
  take(name: string): Left | undefined {
    const left = this.#former?.left.get(name)
    if (left === undefined || this.#taken.has(name)) return undefined
    this.#taken.add(name)
    return { ...left, descriptors: (left.descriptors ?? []).map(fd => (fd < 0 ? fd : this.#calls.duplicate(fd))) }
  }

  spend(name: string): void {
    const left = this.#former?.left
    closeAll(left?.get(name)?.descriptors)
    left?.delete(name)
  }

  spendOverlapping(name: string, at: HostPort): void {
    const names = [...(this.#former?.left.keys() ?? [])]
    for (const other of names) if (other !== name && overlaps(other, at)) this.spend(other)
  }

  leaveListener(name: string, server: Server): void {
    this.#listeners.set(name, server)
  }

  leave(name: string, make: () => Left | Promise<Left>): void {
    this.#making.set(name, make)
  }

  /** This process serves: what was left is not needed any more. */
  settle(): void {
    if (this.#isSettled) return
    this.#isSettled = true
    const { descriptor } = this.#former?.facts.former ?? {}
    if (descriptor !== undefined) closeSync(descriptor)
    for (const { descriptors } of this.#former?.left.values() ?? []) closeAll(descriptors)
    this.#former?.left.clear()
  }

  /** Connections to the listeners wait for the next process from now on. */
  leaveListeners(): void {
    this.#isLeaving = true
    for (const [name, server] of this.#listeners) {
      if (!server.listening) continue
      this.#left.set(name, { descriptors: [this.#calls.duplicate(descriptorOf(server))] })
      server.close()
    }
  }

  /** Collects everything else. */
  async collect(): Promise<void> {
    for (const [name, make] of this.#making) this.#left.set(name, await make())
  }

  /** Executes `next` in this process, which has ended everything. Never returns; throws if that cannot be executed. */
  execute(next: Program, id: string, former: Program, begunMs: number): never {
    const facts: HandoverFacts = {
      id,
      begunMs,
      former: { ...former, version: packageVersion(), descriptor: openSync('/proc/self/exe', 'r') },
      counts: { listeners: this.#left.size - this.#making.size }
    }
    return this.#replaceBy(next, facts, this.#left)
  }

  /** Returns what must be kept for a process that is started when this one has ended, by name. */
  store(id: string, former: Program, begunMs: number): ReadonlyMap<string, number> {
    const memory = this.#calls.makeMemory(MEMORY_NAME)
    const counts = { listeners: this.#left.size - this.#making.size }
    writeDocument(memory, { id, begunMs, former: { ...former, version: packageVersion() }, counts }, this.#left)
    const kept = [...this.#left.values()].flatMap(({ descriptors = [] }) => descriptors)
    return new Map([[DOCUMENT, memory], ...kept.map(fd => [storedName(fd), fd] as const)])
  }

  /**
   * Executes the former program again: this one did not start, for `reason`. Returns if there is none, or if that itself runs
   * again.
   */
  giveBack(reason: string): void {
    if (this.#former === undefined || this.#isStored) return
    if (this.#isSettled || this.#former.facts.problem !== undefined) return
    const { facts, left } = this.#former
    const { file, argv, descriptor } = facts.former
    // The file may have been replaced since.
    const program = { file: descriptor === undefined ? file : `/proc/self/fd/${descriptor}`, argv }
    this.#replaceBy(program, { ...facts, problem: reason }, left)
  }

  #replaceBy({ file, argv }: Program, facts: HandoverFacts, left: ReadonlyMap<string, Left>): never {
    const memory = this.#calls.makeMemory(MEMORY_NAME)
    writeDocument(memory, facts, left)
    const { descriptor } = facts.former
    const kept = [...left.values()].flatMap(({ descriptors = [] }) => descriptors)
    for (const fd of [memory, ...kept, ...(descriptor === undefined ? [] : [descriptor])])
      this.#calls.setInherited(fd, true)
    if (this.#env['WARREN_HANGUP'] === 'ignored') {
      process.removeAllListeners('SIGHUP')
      this.#calls.ignoreSignal(constants.signals.SIGHUP)
    }
    process.execve?.(file, [...argv], { ...this.#env, [VARIABLE]: String(memory) })
    throw new Error('this version of Node cannot replace its process')
  }

  // Their numbers are others than in the document.
  #readStored(stored: ReadonlyMap<string, number>): ReturnType<typeof readDocument> | undefined {
    for (const fd of stored.values()) this.#calls.setInherited(fd, false)
    const unused = new Set(stored.values())
    const memory = stored.get(DOCUMENT)
    const found = memory === undefined ? undefined : this.#read(memory)
    if (found !== undefined && memory !== undefined) unused.delete(memory)
    for (const [name, { descriptors = [], ...other }] of found?.left ?? []) {
      const own = descriptors.map(fd => stored.get(storedName(fd)) ?? MISSING)
      for (const fd of own) unused.delete(fd)
      found?.left.set(name, { ...other, descriptors: own })
    }
    closeAll(unused)
    return found
  }

  #read(fd: number): ReturnType<typeof readDocument> | undefined {
    if (!Number.isSafeInteger(fd) || fd <= 2) return undefined
    try {
      const found = readDocument(fd)
      if (!this.#isStored)
        for (const { descriptors = [] } of found.left.values())
          for (const one of descriptors) this.#calls.setInherited(one, false)
      const { descriptor } = found.facts.former
      if (descriptor !== undefined) this.#calls.setInherited(descriptor, false)
      // It holds keys of flows.
      ftruncateSync(fd, 0)
      closeSync(fd)
      return found
    } catch {
      // Not from an agent, or from one whose form this program does not know: it starts as any other.
      return undefined
    }
  }
}

function closeAll(descriptors: Iterable<number> = []): void {
  for (const fd of descriptors) if (fd >= 0) closeSync(fd)
}

// With the port alone the former program would lose a listener that this one never needed, and refuse while it binds again.
function overlaps(name: string, { host, port }: HostPort): boolean {
  const [, text = '', at] = / (\S+):(\d+)$/.exec(name) ?? []
  const other = text.replace(/^\[|\]$/g, '')
  return Number(at) === port && (other === host || isVague(other) || isVague(host))
}

// A name, or every address: 0.0.0.0, ::, 0:0::0.
function isVague(host: string): boolean {
  return isIP(host) === 0 || /^[0:.]+$/.test(host)
}

/** An id for a handover. */
export function newHandoverId(): string {
  return randomBytes(6).toString('hex')
}

/** The reason of a failed start, for the former program. */
export function reasonOf(err: unknown): string {
  return err instanceof WarrenError ? `${err.code}: ${err.reason}` : String(err)
}
