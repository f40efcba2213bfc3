import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Scope } from './scope.ts'
import { settled, waitFor } from './wait-for.ts'

export interface Outcome {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

export interface ProgramOptions {
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string | undefined>>
}

const STOP_MS = 10_000
const running = new Set<ChildProcessWithoutNullStreams>()
// A runner that gives up on a file ends it by a signal; nothing that the file started may stay.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/** A running program whose output is kept. Killed at the end of its scope if it still runs then. */
export class Program {
  readonly #child: ChildProcessWithoutNullStreams
  readonly #description: string
  readonly #exit: Promise<Outcome>
  readonly #stdout: Buffer[] = []
  readonly #stderr: Buffer[] = []

  constructor(scope: Scope, argv: readonly string[], options: ProgramOptions = {}) {
    const [command = '', ...args] = argv
    this.#description = argv.join(' ')
    const env = { ...process.env, ...options.env }
    this.#child = spawn(command, args, { ...(options.cwd !== undefined && { cwd: options.cwd }), env, stdio: 'pipe' })
    running.add(this.#child)
    this.#child.stdout.on('data', (chunk: Buffer) => this.#stdout.push(chunk))
    this.#child.stderr.on('data', (chunk: Buffer) => this.#stderr.push(chunk))
    // A program that ends without reading its input is no failure of the test.
    this.#child.stdin.on('error', () => {})
    this.#exit = this.#ended()
    this.#exit.catch(() => {})
    scope.defer(() => this.kill())
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error(`${this.#description} did not start`)
    return this.#child.pid
  }

  get stdin(): ChildProcessWithoutNullStreams['stdin'] {
    return this.#child.stdin
  }

  get stdout(): string {
    return Buffer.concat(this.#stdout).toString()
  }

  get stderr(): string {
    return Buffer.concat(this.#stderr).toString()
  }

  get hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null
  }

  /** How it ended. */
  async outcome(timeoutMs = 60_000): Promise<Outcome> {
    return await settled(this.#exit, `the end of ${this.#description}\n${this.stderr}`, timeoutMs)
  }

  /** The first match in what it has written so far or will write. Rejects if it ends without. */
  async says(pattern: RegExp, stream: 'stdout' | 'stderr' = 'stdout', timeoutMs = 45_000): Promise<RegExpExecArray> {
    let ended = false
    const match = await waitFor(
      () => {
        const last = this.hasEnded
        const found = pattern.exec(this[stream])
        if (found !== null) return found
        // Asked once more after the end, since output may arrive with it.
        if (ended) return 'ended' as const
        ended = last
        return undefined
      },
      `${pattern} from ${this.#description}`,
      timeoutMs
    ).catch((err: unknown) => {
      throw new Error(`no ${pattern} from ${this.#description}\n${this.stdout}${this.stderr}`, { cause: err })
    })
    if (match === 'ended')
      throw new Error(`${this.#description} ended without ${pattern}\n${this.stdout}${this.stderr}`)
    return match
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  /** Ends it as a service manager would, and tells how it ended. */
  async stop(): Promise<Outcome> {
    if (!this.hasEnded) this.#child.kill('SIGTERM')
    return await this.outcome(STOP_MS)
  }

  /** Ends it with kill -9. */
  async kill(): Promise<void> {
    if (!this.hasEnded) this.#child.kill('SIGKILL')
    await this.#exit.catch(() => {})
  }

  async #ended(): Promise<Outcome> {
    try {
      const [code, signal] = (await once(this.#child, 'close')) as [number | null, NodeJS.Signals | null]
      return { code, signal, stdout: this.stdout, stderr: this.stderr }
    } finally {
      running.delete(this.#child)
    }
  }
}
