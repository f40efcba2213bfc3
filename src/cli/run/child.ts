import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { constants } from 'node:os'
import { isatty } from 'node:tty'
import { ErrorCode, sleep, systemCode, WarrenError } from '../../core/index.ts'

/** Exit codes of a shell: a program that was not found, one that cannot be run, and the first of those ended by a signal. */
const NOT_FOUND = 127
const NOT_RUNNABLE = 126
const SIGNAL_BASE = 128
const GROUP_POLL_MS = 25
/** What a command leaves behind in its process group has so long to end. */
const GROUP_MS = 2_000

/** Passed on in any case. */
const PASSED = ['SIGTERM', 'SIGUSR2', 'SIGCONT'] as const
/** At a terminal the system sends these to the command as well. */
const OF_TERMINAL = ['SIGINT', 'SIGQUIT', 'SIGHUP', 'SIGWINCH'] as const

/** A command as a shell would run it, with our input and output. */
export interface Command {
  readonly argv: readonly string[]
  readonly env: NodeJS.ProcessEnv
}

/** A command that could not be started, with the exit code that a shell gives. */
export class NotStarted extends WarrenError {
  readonly exitCode: number

  constructor(name: string, cause: unknown) {
    const isMissing = systemCode(cause) === 'ENOENT'
    const reason = isMissing ? `there is no command "${name}"` : `"${name}" cannot be run: ${systemCode(cause)}`
    super(ErrorCode.InvalidArgument, reason, {
      hint: 'Write it after --, as: warren run --as ADDRESS -- curl URL.',
      cause
    })
    this.exitCode = isMissing ? NOT_FOUND : NOT_RUNNABLE
  }
}

/** Catches signals from now on, for a command that is started later. */
export class SignalRelay {
  readonly #isTerminal = isatty(0)
  readonly #early = new AbortController()
  #target: number | undefined
  #pid: number | undefined

  constructor() {
    const ignored = process.listenerCount('SIGHUP') > 0
    for (const name of [...PASSED, ...OF_TERMINAL]) {
      if (name === 'SIGHUP' && ignored) continue
      process.on(name, () => this.#onSignal(name))
    }
  }

  /** The process of the command, while there is one. */
  get pid(): number | undefined {
    return this.#pid
  }

  /** Aborts at a signal that comes before there is a command. */
  get early(): AbortSignal {
    return this.#early.signal
  }

  /**
   * Runs the command and returns its exit code, as a shell does: that of the program, or 128 and the number of the signal that ended
   * it. Without a terminal, the command has a process group of its own, which ends with it. Throws NotStarted.
   */
  async run({ argv, env }: Command): Promise<number> {
    this.#early.signal.throwIfAborted()
    const [name = '', ...args] = argv
    const child = spawn(name, args, { env, stdio: 'inherit', detached: !this.#isTerminal })
    const { pid } = child
    this.#pid = pid
    this.#target = pid === undefined || this.#isTerminal ? pid : -pid
    let code: number | null
    let signal: NodeJS.Signals | null
    try {
      ;[code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null]
    } catch (cause) {
      throw new NotStarted(name, cause)
    } finally {
      // Another process may get its number.
      this.#pid = undefined
    }
    if (pid !== undefined && !this.#isTerminal) await endGroup(pid)
    return signal === null ? (code ?? 1) : SIGNAL_BASE + constants.signals[signal]
  }

  #onSignal(name: (typeof PASSED)[number] | (typeof OF_TERMINAL)[number]): void {
    if (this.#target !== undefined) {
      const isOfTerminal = OF_TERMINAL.some(one => one === name)
      if (!this.#isTerminal || !isOfTerminal) send(this.#target, name)
    } else if (['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'].includes(name)) {
      this.#early.abort(new DOMException(`ended by ${name}`, 'AbortError'))
    }
  }
}

async function endGroup(pid: number): Promise<void> {
  const never = new AbortController().signal
  if (!send(-pid, 'SIGTERM')) return
  for (let waitedMs = 0; waitedMs < GROUP_MS; waitedMs += GROUP_POLL_MS) {
    await sleep(GROUP_POLL_MS, never)
    if (!send(-pid, 0)) return
  }
  send(-pid, 'SIGKILL')
}

/** Whether there was somebody to send it to. */
function send(target: number, signal: NodeJS.Signals | 0): boolean {
  try {
    process.kill(target, signal)
    return true
  } catch (err) {
    return systemCode(err) !== 'ESRCH'
  }
}
