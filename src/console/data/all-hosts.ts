import type { MessageInitShape } from '@bufbuild/protobuf'
import type { AgentClient } from '../../client/index.ts'
import { TokenBucket, WarrenError } from '../../core/index.ts'
import type { adminPb } from '../../wire/index.ts'
import type { AskedView } from '../shapes.ts'

type Ask = NonNullable<MessageInitShape<typeof adminPb.ObserveRequestSchema>['ask']>

/** What the answers of hosts come to, one after another. */
export interface Summary<T> {
  readonly add: (host: adminPb.HostObservation) => void
  readonly value: () => T
}

/**
 * Time from a question to the next one, at least, in milliseconds. Each host answers by a signature and a sealed message, and notes who
 * asked: a line of its audit log. And the answers of all hosts come to this one, up to 30 KB each: five in a second.
 */
const LEAST_MS = 15_000
const MS_PER_HOST = 200
/** Other questions than the last one, as by another choice on a page. */
const OTHER_QUESTIONS = { perSecond: 0.2, burst: 6 } as const
/** Hosts that do not answer are waited for so long. */
const TIMEOUT_MS = 10_000
/** The first answer of a page waits so long for the hosts; most have answered then. */
const FIRST_MS = 1_500
/** Hosts that are named because they have not answered. */
const MAX_MISSING = 100
/** Characters of the reason that a host gives. */
const MAX_WHY = 1_024

interface Run<T> {
  readonly key: string
  readonly askedAtMs: number
  readonly startedMs: number
  readonly summary: Summary<T>
  readonly missing: Array<{ readonly machine: string; readonly why: string }>
  hosts: number
  /** Why nobody could be asked. */
  problem: string
  isOver: boolean
  over: Promise<void>
}

/**
 * Asks all hosts one question for the pages that show it, however many look: one at a time, and not again before its cost allows it.
 * In between, the pages get the last answers.
 */
export class AllHosts<T> {
  readonly #agent: AgentClient
  readonly #summary: () => Summary<T>
  readonly #nowMs: () => number
  readonly #others = new TokenBucket(OTHER_QUESTIONS, performance.now())
  #run: Run<T> | undefined
  /** The last one that is over, while the next one runs. */
  #last: Run<T> | undefined

  constructor(agent: AgentClient, summary: () => Summary<T>, nowMs: () => number) {
    this.#agent = agent
    this.#summary = summary
    this.#nowMs = nowMs
  }

  /** What all hosts say, or have said lately; `key` names the question. */
  async answers(key: string, ask: Ask): Promise<{ readonly value: T; readonly asked: AskedView }> {
    const now = performance.now()
    const run = this.#run
    if (run?.key !== key) {
      if (run !== undefined && !this.#others.take(now)) return this.#tooMany()
      this.#last = undefined
      this.#start(key, ask)
    } else if (run.isOver && now - run.startedMs >= everyMs(run)) {
      this.#last = run
      this.#start(key, ask)
    }
    const shown = this.#last ?? this.#run
    if (shown === undefined) return this.#tooMany()
    if (!shown.isOver) await Promise.race([shown.over, new Promise(resolve => setTimeout(resolve, FIRST_MS).unref())])
    return { value: shown.summary.value(), asked: askedView(shown) }
  }

  #start(key: string, ask: Ask): void {
    const run: Run<T> = {
      key,
      askedAtMs: this.#nowMs(),
      startedMs: performance.now(),
      summary: this.#summary(),
      missing: [],
      hosts: 0,
      problem: '',
      isOver: false,
      over: Promise.resolve()
    }
    this.#run = run
    run.over = this.#collect(run, ask).then(() => {
      run.isOver = true
      if (this.#run === run) this.#last = undefined
    })
  }

  async #collect(run: Run<T>, ask: Ask): Promise<void> {
    try {
      for await (const { hosts } of this.#agent.admin.observe({ ask, timeoutMs: TIMEOUT_MS })) {
        for (const host of hosts) {
          run.hosts += 1
          const why = whyMissing(host)
          if (why === '') run.summary.add(host)
          else run.missing.push({ machine: host.machine, why: why.slice(0, MAX_WHY) })
        }
      }
    } catch (err) {
      run.problem = WarrenError.from(err).reason
    }
  }

  #tooMany(): { readonly value: T; readonly asked: AskedView } {
    const problem = 'they were asked other questions just now, and are asked again in some seconds'
    return { value: this.#summary().value(), asked: { ...NOBODY, problem } }
  }
}

const NOBODY: AskedView = {
  askedAtMs: 0,
  hosts: 0,
  isOver: true,
  missing: [],
  moreMissing: 0,
  problem: '',
  everyMs: LEAST_MS
}

function everyMs({ hosts }: Pick<Run<unknown>, 'hosts'>): number {
  return Math.max(LEAST_MS, hosts * MS_PER_HOST)
}

function askedView({ askedAtMs, hosts, isOver, missing, problem, ...run }: Run<unknown>): AskedView {
  return {
    askedAtMs,
    hosts,
    isOver,
    missing: missing.slice(0, MAX_MISSING),
    moreMissing: Math.max(0, missing.length - MAX_MISSING),
    problem,
    everyMs: everyMs({ hosts, ...run })
  }
}

/** Why a host is missing from the answers; empty if it is not. */
export function whyMissing({ state, problem }: adminPb.HostObservation): string {
  switch (state) {
    case 'answered':
      return problem
    case 'cannot-say':
      return 'cannot say: its program is older'
    case 'suspect':
      return 'is away: it does not answer'
    default:
      return 'has not answered in time'
  }
}
