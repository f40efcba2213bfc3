import { AsyncLocalStorage } from 'node:async_hooks'
import type { EventQueue } from '../event-queue.ts'
import type { Random } from '../random.ts'

/** One run of a host, from its start to its crash. What it has begun does not outlive it. */
export class Run {
  isOver = false
  isPaused = false
  readonly #held: Array<() => void> = []

  hold(fire: () => void): void {
    this.#held.push(fire)
  }

  /** Does what came due during the pause, in its order. */
  resume(): void {
    this.isPaused = false
    for (const fire of this.#held.splice(0)) fire()
  }
}

const runs = new AsyncLocalStorage<Run>()

/** A timer of the simulated process. */
class Timer {
  isCleared = false
  ref(): this {
    return this
  }
  unref(): this {
    return this
  }
  hasRef(): boolean {
    return true
  }
}

/**
 * Gives the code of the agent virtual time and seeded chance: while it is installed, `setTimeout`, `Math.random` and
 * `performance.now` are those of the simulation. A timer belongs to the run in which it was set, over any number of promises.
 */
export class VirtualProcess {
  readonly #queue: EventQueue
  readonly #random: Random

  constructor(queue: EventQueue, random: Random) {
    this.#queue = queue
    this.#random = random
  }

  /** Runs `work` as a part of a run; later if that is paused, and never once it is over. */
  enter(run: Run, work: () => void): void {
    if (run.isOver) return
    if (run.isPaused) run.hold(() => this.enter(run, work))
    else runs.run(run, work)
  }

  after(ms: number, run: Run, work: () => void): void {
    this.#queue.after(ms, () => this.enter(run, work))
  }

  /** Returns what puts the real ones back. */
  install(): () => void {
    const real = { setTimeout: globalThis.setTimeout, clearTimeout: globalThis.clearTimeout, random: Math.random }
    const ownNow = Object.getOwnPropertyDescriptor(performance, 'now')
    const queue = this.#queue
    const random = this.#random
    const setVirtual = (work: (...args: unknown[]) => void, ms = 0, ...args: unknown[]): Timer => {
      const run = runs.getStore()
      const timer = new Timer()
      const fire = (): void => {
        if (!timer.isCleared) work(...args)
      }
      queue.after(ms, () => {
        if (timer.isCleared) return
        if (run === undefined) fire()
        else this.enter(run, fire)
      })
      return timer
    }
    const clearVirtual = (timer: unknown): void => {
      if (timer instanceof Timer) timer.isCleared = true
      else if (timer !== undefined) real.clearTimeout(timer as NodeJS.Timeout)
    }
    Object.assign(globalThis, { setTimeout: setVirtual, clearTimeout: clearVirtual })
    Math.random = () => random.next()
    Object.defineProperty(performance, 'now', { configurable: true, writable: true, value: () => queue.nowMs })
    return () => {
      Object.assign(globalThis, { setTimeout: real.setTimeout, clearTimeout: real.clearTimeout })
      Math.random = real.random
      if (ownNow === undefined) Reflect.deleteProperty(performance, 'now')
      else Object.defineProperty(performance, 'now', ownNow)
    }
  }
}
