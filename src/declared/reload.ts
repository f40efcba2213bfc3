import type { DeclaredSource, Reading } from '../config/index.ts'
import { ErrorCode, type Logger, type Metrics, WarrenError } from '../core/index.ts'
import type { DeclaredItems, Tally } from './declared-items.ts'

export interface ReloadResult {
  readonly services: Tally
  readonly forwards: Tally
  /** Options of the agent that differ from those that it runs with. */
  readonly needRestart: readonly string[]
}

export interface ReloadDeps {
  readonly source: DeclaredSource | undefined
  readonly items: Pick<DeclaredItems, 'apply'>
  readonly metrics: Pick<Metrics, 'count'>
  readonly log: Logger
}

/** Reads the files of the configuration anew, one reload at a time. */
export class Reload {
  readonly #deps: ReloadDeps
  #last: Promise<unknown> = Promise.resolve()
  #problem = ''
  /** Whether what is declared at the start is of no account any more. */
  #hasApplied = false

  constructor(deps: ReloadDeps) {
    this.#deps = deps
  }

  /** Why the last reload was not applied; empty if it was. */
  get problem(): string {
    return this.#problem
  }

  /** Runs what is declared at the start, unless a reload came first. */
  async begin(): Promise<void> {
    const { source, items } = this.#deps
    if (source === undefined) return
    const turn = this.#last
      .catch(() => {})
      .then(async () => {
        if (!this.#hasApplied) await items.apply(source.declared)
      })
    this.#last = turn
    await turn
  }

  /**
   * Everything is read and checked before anything changes. Rejects with INVALID_CONFIG, or NOT_FOUND without a file: then nothing
   * has changed.
   */
  async run(): Promise<ReloadResult> {
    const turn = this.#last.catch(() => {}).then(() => this.#run())
    this.#last = turn
    return await turn
  }

  async #run(): Promise<ReloadResult> {
    const watcher = this.#deps.source?.watcher
    watcher?.begun()
    try {
      return await this.#readAndApply()
    } finally {
      watcher?.ended(this.#problem)
    }
  }

  async #readAndApply(): Promise<ReloadResult> {
    const { source, items, metrics, log } = this.#deps
    let reading: Reading | undefined
    try {
      reading = await source?.read()
    } catch (err) {
      const { reason, hint } = WarrenError.from(err)
      this.#problem = hint === undefined ? reason : `${reason}. ${hint}`
      metrics.count('warren_config_reloads_total', { result: 'refused' })
      log.error('configuration not reloaded: the former one stays in force', { reason: this.#problem })
      throw err
    }
    if (reading === undefined) throw nothingToRead()
    const { declared, needRestart } = reading
    this.#hasApplied = true
    const tallies = await items.apply(declared)
    this.#problem = ''
    metrics.count('warren_config_reloads_total', { result: 'applied' })
    log.info('configuration reloaded', { reason: inWords({ ...tallies, needRestart }) })
    return { ...tallies, needRestart }
  }
}

function nothingToRead(): WarrenError {
  return new WarrenError(ErrorCode.NotFound, 'this agent has no configuration file to read', {
    hint: 'Start it with --config FILE; the agent of the whole host reads /etc/warren/warren.yaml.'
  })
}

function inWords({ services, forwards, needRestart }: ReloadResult): string {
  const text = (kind: string, { added, removed, changed, unchanged }: Tally): string =>
    `${kind}: ${added} added, ${removed} removed, ${changed} changed, ${unchanged} unchanged`
  const restart = needRestart.length === 0 ? '' : `; need a restart: ${needRestart.join(', ')}`
  return `${text('services', services)}; ${text('forwards', forwards)}${restart}`
}
