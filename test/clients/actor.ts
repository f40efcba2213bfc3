import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { type Scope, settled, waitFor } from '../harness/index.ts'
import type { Language } from './languages.ts'

export interface Failure {
  readonly code: string
  readonly reason: string
}

/** What an actor says without being called: who connected to its server, and how that connection ended. */
export interface ActorEvent {
  readonly event: 'connection' | 'end'
  readonly peer?: { readonly spiffeId: string; readonly address: string; readonly flowId: string }
  readonly how?: string
  readonly reason?: string
  readonly text?: string
}

type Answer = { readonly id: number; readonly result?: object; readonly error?: Failure }

/** A failure that a library reported to its program. */
export class ActorError extends Error {
  readonly code: string
  readonly reason: string

  constructor(call: string, { code, reason }: Failure) {
    super(`${call}: ${code}: ${reason}`)
    this.code = code
    this.reason = reason
  }
}

/** A process that uses the library of one language as it is called to, by lines of JSON. */
export class Actor {
  readonly events: ActorEvent[] = []
  readonly #child: ChildProcessWithoutNullStreams
  readonly #pending = new Map<number, PromiseWithResolvers<object>>()
  readonly #language: Language
  #stderr = ''
  #count = 0

  constructor(scope: Scope, language: Language, runtimeDir: string) {
    this.#language = language
    const [command = '', ...args] = language.argv
    const env = { ...process.env, ...language.env, WARREN_RUNTIME_DIR: runtimeDir }
    this.#child = spawn(command, args, { env, stdio: 'pipe' })
    this.#child.stdin.on('error', () => {})
    this.#child.stderr.on('data', (chunk: Buffer) => {
      this.#stderr += chunk.toString()
    })
    createInterface({ input: this.#child.stdout }).on('line', text => this.#take(JSON.parse(text)))
    this.#child.once('close', () => {
      for (const { reject } of this.#pending.values()) reject(new Error(`the actor ended\n${this.#stderr}`))
    })
    scope.defer(() => this.kill())
  }

  get pid(): number {
    return this.#child.pid ?? Number.NaN
  }

  /** Makes a call of its library. Rejects with an ActorError. */
  async call<T = object>(call: string, args: object = {}): Promise<T> {
    if (this.#hasEnded) throw new Error(`the actor of ${this.#language.name} has ended\n${this.#stderr}`)
    this.#count += 1
    const id = this.#count
    const answer = Promise.withResolvers<object>()
    this.#pending.set(id, answer)
    this.#child.stdin.write(`${JSON.stringify({ ...args, id, call })}\n`)
    try {
      const what = `${this.#language.name}: ${call} ${JSON.stringify(args)}`
      return (await settled(answer.promise, what, 45_000)) as T
    } catch (err) {
      if (err instanceof ActorError || this.#stderr === '') throw err
      throw new Error(this.#stderr, { cause: err })
    } finally {
      this.#pending.delete(id)
    }
  }

  /** Calls until it succeeds, as a program does whose destination may be there later. */
  async callUntil<T = object>(call: string, args: object): Promise<T> {
    return await waitFor(
      async () => {
        try {
          return (await this.call(call, args)) as T & object
        } catch (err) {
          if (err instanceof ActorError) return undefined
          throw err
        }
      },
      `${this.#language.name}: ${call} ${JSON.stringify(args)}`
    )
  }

  /** The first event that fits, which is taken out. */
  async says(event: ActorEvent['event'], fits: (event: ActorEvent) => boolean = () => true): Promise<ActorEvent> {
    return await waitFor(
      () => {
        const at = this.events.findIndex(each => each.event === event && fits(each))
        return at < 0 ? undefined : this.events.splice(at, 1)[0]
      },
      `${this.#language.name} to say ${event}; it said ${JSON.stringify(this.events)}${this.#stderr}`
    )
  }

  /** Ends it with kill -9. */
  async kill(): Promise<void> {
    if (this.#hasEnded) return
    const closed = once(this.#child, 'close')
    this.#child.kill('SIGKILL')
    await closed
  }

  get #hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null
  }

  #take(message: Answer | ActorEvent): void {
    if ('event' in message) {
      this.events.push(message)
      return
    }
    const pending = this.#pending.get(message.id)
    if (message.error === undefined) pending?.resolve(message.result ?? {})
    else pending?.reject(new ActorError(this.#language.name, message.error))
  }
}
