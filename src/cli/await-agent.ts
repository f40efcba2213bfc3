import { Option } from 'commander'
import { AgentClient, agentDir } from '../client/index.ts'
import { ErrorCode, sleep, WarrenError } from '../core/index.ts'
import type { Context } from './context.ts'

const FIRST_RETRY_MS = 100
const MAX_RETRY_MS = 500
/** An agent that starts opens its sockets to others only after it has bound them. */
const MAX_DENIED_AFTER_WAITING = 5

export interface WaitOptions {
  /** The option of `noWaitOption`: false fails at once where no agent answers. */
  readonly wait: boolean
  readonly signal: AbortSignal
  /** What a person can do instead of waiting. @default '--no-wait fails instead' */
  readonly instead?: string
}

/** `--no-wait`, for a command that runs until it is ended; `when` is a condition, for the help. */
export function noWaitOption(when = ''): Option {
  return new Option('--no-wait', `${when}fail at once if no agent answers (default: wait until one does)`)
}

/** The agent of a long-lived command: calls wait for one that is not there yet, or is still starting. */
export class AwaitedAgent {
  readonly #context: Context
  readonly #options: WaitOptions
  #client: AgentClient

  constructor(context: Context, options: WaitOptions) {
    this.#context = context
    this.#options = options
    this.#client = context.agent
  }

  /** The agent that answered the last call. */
  get client(): AgentClient {
    return this.#client
  }

  /**
   * Returns the answer of `call`, which is repeated until an agent answers it; says once what is awaited. Rejects with every other
   * failure, and with the reason of the signal.
   */
  async call<T>(call: (client: AgentClient) => Promise<T>): Promise<T> {
    const { wait, signal, instead = '--no-wait fails instead' } = this.#options
    const { say } = this.#context
    let told = ''
    let denied = 0
    for (let retryMs = FIRST_RETRY_MS; ; retryMs = Math.min(retryMs * 2, MAX_RETRY_MS)) {
      try {
        const answer = await call(this.#client)
        if (told !== '') say('the agent answers')
        return answer
      } catch (err) {
        signal.throwIfAborted()
        const isDenied = told !== '' && WarrenError.is(err, ErrorCode.PermissionDenied)
        denied = isDenied ? denied + 1 : 0
        if (!wait || !(isAway(err) || (isDenied && denied <= MAX_DENIED_AFTER_WAITING))) throw err
        const why = isDenied ? told : reasonOf(err)
        if (told !== why) say(`waiting for the agent: ${why} (${instead})`)
        told = why
        await sleep(retryMs, signal)
        this.#look()
      }
    }
  }

  /** Without a chosen directory, the agent of this user or that of the host: whichever comes first. */
  #look(): void {
    const { runtimeDir } = this.#context
    if (runtimeDir === undefined && agentDir() !== this.#client.runtimeDir) this.#client = new AgentClient()
  }
}

/** The reason with what to do, on one line. */
function reasonOf(err: unknown): string {
  if (!(err instanceof WarrenError)) return String(err)
  const { code, reason, hint } = err
  return code === ErrorCode.AgentNotRunning && hint !== undefined ? `${reason}; ${hint.replace(/\.$/, '')}` : reason
}

/** Whether `err` says that no agent answers, or that the one that does is not ready: it may be again. */
export function isAway(err: unknown): boolean {
  return WarrenError.is(err, ErrorCode.AgentNotRunning) || WarrenError.is(err, ErrorCode.NotReady)
}
