import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'

export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface RunningOptions {
  readonly env: NodeJS.ProcessEnv
  /** Called with each whole line that it writes, as it does. */
  readonly onLine?: ((line: string, stream: 'stdout' | 'stderr') => void) | undefined
}

const alive = new Set<ChildProcessWithoutNullStreams>()
// However this program ends, nothing that it started may stay behind.
process.once('exit', () => {
  for (const child of alive) child.kill('SIGKILL')
})
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(1))

/** A program that was started, with all it has written. */
export class Running {
  readonly ended: Promise<Ended>
  readonly #child: ChildProcessWithoutNullStreams
  readonly #onLine: RunningOptions['onLine']
  readonly #written = { stdout: '', stderr: '' }
  readonly #rest = { stdout: '', stderr: '' }
  readonly #listeners = new Set<() => void>()

  constructor(command: string, args: readonly string[], options: RunningOptions) {
    this.#onLine = options.onLine
    const child = spawn(command, args, { env: options.env, stdio: 'pipe' })
    this.#child = child
    alive.add(child)
    for (const stream of ['stdout', 'stderr'] as const) {
      child[stream].setEncoding('utf8').on('data', (text: string) => this.#take(stream, text))
    }
    // One that ends without reading its input is not our failure.
    child.stdin.on('error', () => {})
    this.ended = new Promise((resolve, reject) => {
      child.once('error', reject).once('close', code => {
        alive.delete(child)
        resolve({ code, ...this.#written })
        for (const listener of this.#listeners) listener()
      })
    })
    this.ended.catch(() => {})
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  /** Resolves with the first match in what it has written or will write; rejects if it ends without, or in `timeoutMs`. */
  async says(pattern: RegExp, timeoutMs = 15_000): Promise<RegExpExecArray> {
    const { promise, resolve, reject } = Promise.withResolvers<RegExpExecArray>()
    const look = (): void => {
      const match = pattern.exec(this.#written.stdout) ?? pattern.exec(this.#written.stderr)
      if (match !== null) resolve(match)
      else if (!alive.has(this.#child)) reject(this.#failure(`ended without saying ${pattern}`))
    }
    const timer = setTimeout(() => reject(this.#failure(`did not say ${pattern} within ${timeoutMs} ms`)), timeoutMs)
    this.#listeners.add(look)
    look()
    try {
      return await promise
    } finally {
      clearTimeout(timer)
      this.#listeners.delete(look)
    }
  }

  /** Types a line into it. */
  type(line: string): void {
    this.#child.stdin.write(`${line}\n`)
  }

  /** Ends its input, as Ctrl-D does. */
  endInput(): void {
    this.#child.stdin.end()
  }

  /** Ends it as a service manager does, and by force if that does not help within 10 seconds. */
  async stop(): Promise<Ended> {
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), 10_000)
    this.#child.kill('SIGTERM')
    try {
      return await this.ended
    } finally {
      clearTimeout(timer)
    }
  }

  #take(stream: 'stdout' | 'stderr', text: string): void {
    this.#written[stream] += text
    for (const listener of this.#listeners) listener()
    const lines = (this.#rest[stream] + text).split('\n')
    this.#rest[stream] = lines.pop() ?? ''
    for (const line of lines) this.#onLine?.(line, stream)
  }

  #failure(what: string): Error {
    return new Error(
      `${this.#child.spawnargs.slice(1).join(' ')} ${what}\n${this.#written.stdout}${this.#written.stderr}`
    )
  }
}
