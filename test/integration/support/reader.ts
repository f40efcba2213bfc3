import { join } from 'node:path'
import { Program, type Scope, waitFor } from '../../harness/index.ts'
import { agrees, endOf, type Typed } from './transcript.ts'

const ROOT = join(import.meta.dirname, '..', '..', '..')
const ON = join(ROOT, 'examples', 'tutorial', 'on')
const PATIENCE_MS = 15_000

// What only looks, or can be said twice: a person is not fast enough to look before a change has spread; a program is.
const REPEATABLE = /\b(?:curl|warren (?:connect|explain|entry list|flows|members|services|status))\b/

interface RunningOn {
  readonly where: string
  readonly program: Program
  /** What of its output has been looked at. */
  seen: number
}

/** Types what a page says, on the hosts of examples/tutorial/hosts.sh, at a terminal of its own for each command. */
export class Reader {
  readonly #scope: Scope
  readonly #directory: string
  readonly #running: RunningOn[] = []
  #token = ''

  /** `directory` is where hosts.sh notes its hosts, if there are others on this machine. */
  constructor(scope: Scope, directory: string) {
    this.#scope = scope
    this.#directory = directory
  }

  /** Types it. Rejects if what comes back is not what the page shows, and says both. */
  async type(typed: Typed): Promise<void> {
    if (typed.runsOn) return await this.#start(typed)
    if (typed.command !== '') return await this.#run(typed)
    const here = this.#running.filter(({ where }) => where === typed.where)
    await this.#look(typed, here)
  }

  async #run(typed: Typed): Promise<void> {
    const startedMs = performance.now()
    for (;;) {
      const { code, stdout } = await this.#program(typed).outcome()
      this.#token = /^warren1\.\S+/m.exec(stdout)?.[0] ?? this.#token
      if (code === typed.exit && agrees(typed.expected, stdout)) return
      const isOver = performance.now() - startedMs > PATIENCE_MS
      if (isOver || !REPEATABLE.test(typed.command)) throw differs(typed, `${stdout}exit ${code}\n`)
    }
  }

  async #start(typed: Typed): Promise<void> {
    const running = { where: typed.where, program: this.#program(typed), seen: 0 }
    this.#running.push(running)
    await this.#look(typed, [running])
    if (running.program.hasEnded) throw differs(typed, running.program.stdout)
  }

  /** Waits until one of `running` has written what is shown. */
  async #look(typed: Typed, running: readonly RunningOn[]): Promise<void> {
    const found = (): boolean => running.some(one => sees(one, typed.expected))
    const looked = waitFor(
      async () => {
        if (found()) return true
        if (!running.every(({ program }) => program.hasEnded)) return false
        // The last of its output may arrive with its end.
        await Promise.all(running.map(({ program }) => program.outcome()))
        return found() || 'ended'
      },
      'the lines',
      PATIENCE_MS
    )
    if ((await looked.catch(() => 'too late')) === true) return
    throw differs(typed, running.map(({ program, seen }) => program.stdout.slice(seen)).join(''))
  }

  #program({ where, command }: Typed): Program {
    const typed = command.replaceAll('TOKEN', this.#token)
    const onHost = where === '' ? 'sh -c "$TYPED"' : '"$ON" "$WHERE" sh -c "$TYPED"'
    // Pages show no colours.
    const env = { NO_COLOR: '1', WARREN_TUTORIAL: this.#directory, ON, WHERE: where, TYPED: typed, SHELL: '/bin/sh' }
    return new Program(this.#scope, ['script', '--quiet', '--return', '--flush', '--command', onHost, '/dev/null'], {
      cwd: ROOT,
      env
    })
  }
}

/** Whether it has written these lines since it was looked at; then they have been looked at. */
function sees(running: RunningOn, expected: readonly string[]): boolean {
  const end = endOf(expected, running.program.stdout.slice(running.seen))
  running.seen += end ?? 0
  return end !== undefined
}

function differs({ line, where, command, expected, exit }: Typed, actual: string): Error {
  const shown = [...expected, ...(exit === 0 ? [] : [`exit ${exit}`])].join('\n')
  return new Error(
    `docs/tutorial.md:${line}: ${where}$ ${command}\n--- the page says\n${shown}\n--- it says\n${actual.replaceAll('\r', '')}---`
  )
}
