import type { Logger } from '../core/index.ts'
import type { DataPlane } from './data-plane.ts'
import type { Drained } from './drain.ts'

export interface DrainDeps {
  readonly proxy: Pick<DataPlane, 'drain'>
  /** Called when `isOn` has changed, to announce it to others. */
  readonly onChange: () => void
  readonly log: Logger
}

/** Whether the workloads of this host are drained. Forgotten at the end of the agent. */
export class Drain {
  readonly #deps: DrainDeps
  #current: AbortController | undefined

  constructor(deps: DrainDeps) {
    this.#deps = deps
  }

  get isOn(): boolean {
    return this.#current !== undefined
  }

  /**
   * Drains this host: no new flows come to its workloads. Resolves when their flows have finished, or were reset after
   * `timeoutMs`. A later call replaces an earlier one, which resolves as undone.
   */
  async begin(timeoutMs: number, flows: 'to this host' | 'all' = 'to this host'): Promise<Drained> {
    this.#current?.abort()
    const current = new AbortController()
    this.#current = current
    this.#deps.log.info('draining')
    this.#deps.onChange()
    return await this.#deps.proxy.drain({ flows, timeoutMs, signal: current.signal })
  }

  undo(): void {
    if (this.#current === undefined) return
    this.#current.abort()
    this.#current = undefined
    this.#deps.log.info('no longer drained')
    this.#deps.onChange()
  }
}
