import { execFileSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { isInstalled, Program, type Scope } from '../test/harness/index.ts'

const SOURCES = join(import.meta.dirname, 'load')
const PATIENCE_MS = 180_000

/** The load generator: a C program, so that it is not what limits the figures. */
export class Load {
  readonly #file: string
  readonly #scope: Scope
  readonly #enter: (argv: readonly string[]) => readonly string[]

  private constructor(file: string, scope: Scope, enter: (argv: readonly string[]) => readonly string[] = same) {
    this.#file = file
    this.#scope = scope
    this.#enter = enter
  }

  /** Compiles it with the system's C compiler. Throws if there is none. */
  static compile(scope: Scope): Load {
    const compiler = ['cc', 'gcc', 'clang'].find(isInstalled)
    if (compiler === undefined) throw new Error('the benchmark needs a C compiler: apt-get install gcc libc6-dev')
    const file = join(scope.directory(), 'load')
    const sources = readdirSync(SOURCES).filter(name => name.endsWith('.c'))
    execFileSync(compiler, ['-O2', '-D_GNU_SOURCE', '-Wall', '-o', file, ...sources.map(name => join(SOURCES, name))])
    return new Load(file, scope)
  }

  /** The same load, by the command line that runs one elsewhere, such as in another network. */
  within(enter: ((argv: readonly string[]) => readonly string[]) | undefined): Load {
    return enter === undefined ? this : new Load(this.#file, this.#scope, enter)
  }

  /** The final target of connections. It lives as long as the scope. */
  async target(verb: 'target' | 'udp-target', where: string): Promise<Program> {
    const program = new Program(this.#scope, this.#enter([this.#file, verb, where]))
    await program.says(/listening/)
    return program
  }

  /** Runs one measurement. Resolves with its figures, by name. */
  async run(...words: readonly (string | number)[]): Promise<Readonly<Record<string, number>>> {
    const { code, stdout, stderr } = await this.start(...words).outcome(PATIENCE_MS)
    if (code !== 0) throw new Error(`load ${words.join(' ')}: ${stderr.trim()}`)
    return JSON.parse(stdout) as Record<string, number>
  }

  /** Starts one that works until it is killed or has ended. */
  start(...words: readonly (string | number)[]): Program {
    return new Program(this.#scope, this.#enter([this.#file, ...words.map(String)]))
  }

  /** Starts one that holds what it opened until it is killed. Resolves once it is open. */
  async hold(...words: readonly (string | number)[]): Promise<Program> {
    const program = this.start(...words)
    await program.says(/seconds/, 'stdout', PATIENCE_MS)
    return program
  }
}

function same(argv: readonly string[]): readonly string[] {
  return argv
}
