import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { TestContext } from 'node:test'
import { type ProcessHandle, processHandle } from '../../src/attest/index.ts'
import { type Clock, type ErrorCode, type LogFields, type Logger, WarrenError } from '../../src/core/index.ts'

export const [UID, GID] = [process.getuid?.() ?? 0, process.getgid?.() ?? 0]

/** Time that passes when a test says so. */
export class TestClock implements Clock {
  nowMs: number

  constructor(nowMs = 1_700_000_000_000) {
    this.nowMs = nowMs
  }

  readonly wallMs = () => this.nowMs
  readonly monotonicMs = () => this.nowMs

  pass(ms: number): void {
    this.nowMs += ms
  }
}

/** Keeps what was logged, as "level: message". */
export class TestLog implements Logger {
  readonly lines: string[] = []
  readonly fields: LogFields[] = []
  readonly error = this.#keep('error')
  readonly warn = this.#keep('warn')
  readonly info = this.#keep('info')
  readonly debug = this.#keep('debug')
  readonly child = () => this

  get alarms(): string[] {
    return this.lines.filter(line => line.startsWith('error: '))
  }

  #keep(level: string) {
    return (message: string, fields: LogFields = {}): void => {
      this.lines.push(`${level}: ${message}`)
      this.fields.push(fields)
    }
  }
}

/** Accepts an error of this code whose reason, and whose hint if one is given, reads so. */
export function refusal(code: ErrorCode, reason = /./, hint?: RegExp) {
  return (err: unknown): boolean =>
    WarrenError.is(err, code) &&
    reason.test((err as WarrenError).reason) &&
    (hint === undefined || hint.test((err as WarrenError).hint ?? ''))
}

/** A process that runs until the test ends, or it is killed. */
export class Sleeper {
  readonly handle: ProcessHandle
  readonly #child: ChildProcess

  private constructor(child: ChildProcess) {
    this.#child = child
    this.handle = processHandle(child.pid ?? 0)
  }

  static async start(t: Pick<TestContext, 'after'>): Promise<Sleeper> {
    const child = spawn('sleep', ['600'], { stdio: 'ignore' })
    await once(child, 'spawn')
    const sleeper = new Sleeper(child)
    t.after(() => sleeper.kill())
    return sleeper
  }

  get pid(): number {
    return this.handle.pid
  }

  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const exit = once(this.#child, 'exit')
    this.#child.kill('SIGKILL')
    await exit
  }
}

/** Lets everything that is due by now happen. */
export async function settle(): Promise<void> {
  for (let round = 0; round < 3; round += 1) await new Promise(resolve => setImmediate(resolve))
}
