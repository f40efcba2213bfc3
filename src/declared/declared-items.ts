import type { Declared, DeclaredForward, DeclaredService } from '../config/index.ts'
import { detach, type Logger } from '../core/index.ts'
import type { EventSource } from '../events/index.ts'
import { type BeginDeps, beginForward, beginService } from './begin.ts'
import { Item, type Running, type Spec } from './item.ts'
import { DeclaredSources } from './sources.ts'

/** What a reload did with the items of a kind. */
export interface Tally {
  readonly added: number
  readonly removed: number
  readonly changed: number
  readonly unchanged: number
}

export interface ItemView extends Spec {
  readonly kind: 'service' | 'forward'
  readonly isRunning: boolean
  readonly problem: string
}

export interface DeclaredItemsDeps extends Omit<BeginDeps, 'sources'> {
  readonly log: Logger
}

/** Runs the services and forwards that files declare. */
export class DeclaredItems {
  readonly #deps: BeginDeps
  readonly #log: Logger
  readonly #services = new Map<string, Item<DeclaredService>>()
  readonly #forwards = new Map<string, Item<DeclaredForward>>()
  #isStopped = false

  constructor({ log, ...deps }: DeclaredItemsDeps) {
    this.#deps = { ...deps, sources: new DeclaredSources(deps.workloads) }
    this.#log = log
  }

  /** Call it after enforcement has subscribed. */
  follow(events: EventSource): void {
    events.on('registration-ended', ({ registrationId, reason }) => {
      this.#deps.sources.ended(registrationId)
      for (const item of this.#all()) {
        if (item.runsBy(registrationId)) detach(this.#log, 'declared item', item.lost(reason))
      }
    })
    // An entry may have been added.
    events.on('policy-changed', () => {
      for (const item of this.#all()) detach(this.#log, 'declared item', item.try())
    })
  }

  /**
   * Ends what is no longer declared or differs, and begins what is new, so that `declared` is what runs or waits. Nothing else is
   * touched. Resolves when each new item was tried once. Not to be called again before.
   */
  async apply(declared: Declared): Promise<{ services: Tally; forwards: Tally }> {
    const services = plan(this.#services, declared.services)
    const forwards = plan(this.#forwards, declared.forwards)
    // First, since a new item may need the port of a former one.
    await Promise.all([...services.ended, ...forwards.ended].map(item => item.stop('no longer configured')))
    if (this.#isStopped) return { services: services.tally, forwards: forwards.tally }
    const begun = [
      ...services.begun.map(spec => this.#add(this.#services, 'service', spec, () => beginService(spec, this.#deps))),
      ...forwards.begun.map(spec => this.#add(this.#forwards, 'forward', spec, () => beginForward(spec, this.#deps)))
    ]
    await Promise.all(begun.map(item => item.try()))
    return { services: services.tally, forwards: forwards.tally }
  }

  list(): ItemView[] {
    const view = (kind: ItemView['kind']) => (item: Item<Spec>) => {
      const { name, user, place } = item.spec
      return { kind, name, user, place, isRunning: item.isRunning, problem: item.problem }
    }
    return [...[...this.#services.values()].map(view('service')), ...[...this.#forwards.values()].map(view('forward'))]
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    await Promise.all([...this.#all()].map(item => item.stop('the agent stops')))
  }

  #all(): readonly Item<Spec>[] {
    return [...this.#services.values(), ...this.#forwards.values()]
  }

  #add<S extends Spec>(
    items: Map<string, Item<S>>,
    kind: ItemView['kind'],
    spec: S,
    begin: () => Promise<Running>
  ): Item<S> {
    const isRegistered = (registrationId: string): boolean => this.#deps.workloads.get(registrationId) !== undefined
    const item = new Item(spec, { kind, begin, isRegistered, log: this.#log })
    items.set(spec.name, item)
    return item
  }
}

/** Takes what has to end out of `items`, and says what has to begin. */
function plan<S extends Spec>(items: Map<string, Item<S>>, wanted: readonly S[]) {
  const specs = new Map(wanted.map(spec => [spec.name, spec]))
  const removed = [...items.values()].filter(({ spec }) => !specs.has(spec.name))
  const changed = [...items.values()].filter(({ spec }) => {
    const next = specs.get(spec.name)
    return next !== undefined && contentOf(next) !== contentOf(spec)
  })
  const ended = [...removed, ...changed]
  for (const { spec } of ended) items.delete(spec.name)
  const begun = wanted.filter(({ name }) => !items.has(name))
  const tally: Tally = {
    added: begun.length - changed.length,
    removed: removed.length,
    changed: changed.length,
    unchanged: items.size
  }
  return { ended, begun, tally }
}

// Where it stands may change by a line before it.
function contentOf(spec: Spec): string {
  return JSON.stringify({ ...spec, place: '' })
}
