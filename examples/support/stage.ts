import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { AgentClient } from '../../src/client/index.ts'
import { type Ended, Running } from './running.ts'

const WARREN = resolve(import.meta.dirname, '..', '..', 'bin', 'warren.js')
const POLL_MS = 50
// The path of a unix socket has 107 bytes at most, of which the names below take up to 70.
const TEMPORARY = tmpdir().length <= 36 ? tmpdir() : '/tmp'

export type Status = Awaited<ReturnType<AgentClient['workload']['getStatus']>>

/** One of several pretended hosts on this machine: an agent with directories of its own. */
export interface Host {
  readonly name: string
  readonly stateDir: string
  readonly runtimeDir: string
}

/**
 * Runs warren's own commands as a person would, printing what that person would type and see.
 *
 * Everything it starts and writes is gone when it is disposed of, and also when the program ends by force.
 */
export class Stage implements AsyncDisposable {
  readonly directory = mkdtempSync(join(TEMPORARY, 'warren-'))
  readonly #running: Running[] = []
  readonly #startedMs = performance.now()

  constructor() {
    process.once('exit', () => rmSync(this.directory, { recursive: true, force: true, maxRetries: 3 }))
  }

  /** Seconds since the beginning, for the last line. */
  get seconds(): string {
    return ((performance.now() - this.#startedMs) / 1_000).toFixed(1)
  }

  host(name: string): Host {
    return { name, stateDir: join(this.directory, name, 'state'), runtimeDir: join(this.directory, name, 'run') }
  }

  narrate(text: string): void {
    process.stdout.write(`\n# ${text}\n`)
  }

  /** Starts the agent of `host` and waits until it is ready. `options` are shown, `hidden` only pretend a host of its own. */
  async up(host: Host, options: readonly string[], hidden: readonly string[]): Promise<Running> {
    this.#show(host, ['up', ...options])
    const own = ['--state-dir', host.stateDir, '--runtime-dir', host.runtimeDir, '--log-level', 'error']
    const agent = this.#spawn(host, ['up', ...options, ...own, ...hidden])
    await agent.says(/^warren: ready in .*$/m)
    return agent
  }

  /** Starts a command and leaves it running; what it writes is shown as it comes. */
  start(host: Host, args: readonly string[]): Running {
    this.#show(host, args)
    return this.#spawn(host, args)
  }

  /** Runs a command to its end, whatever that is. `input` is what is typed into it. */
  async run(host: Host, args: readonly string[], input = ''): Promise<Ended> {
    this.#show(host, args, input)
    return await this.#finish(this.#spawn(host, args), input)
  }

  /** What `warren status` would say, asked through the library: for waiting until something has come about. */
  async status(host: Host): Promise<Status> {
    await using agent = new AgentClient({ runtimeDir: host.runtimeDir })
    return await agent.workload.getStatus({})
  }

  /** Types a line into a command that is running. */
  type(host: Host, running: Running, line: string): void {
    process.stdout.write(`  ${host.name}> ${line}\n`)
    running.type(line)
  }

  /** Waits until `holds`, asked again and again; rejects after `timeoutMs` with what it waited for. */
  async until(what: string, holds: () => Promise<boolean>, timeoutMs = 10_000): Promise<void> {
    const deadline = performance.now() + timeoutMs
    while (!(await holds())) {
      if (performance.now() > deadline) throw new Error(`waited ${timeoutMs} ms in vain: ${what}`)
      await new Promise(resolve => setTimeout(resolve, POLL_MS))
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Last started, first ended: agents outlive what talks to them.
    for (const running of this.#running.reverse()) await running.stop()
    rmSync(this.directory, { recursive: true, force: true, maxRetries: 3 })
  }

  async #finish(running: Running, input: string): Promise<Ended> {
    if (input !== '') running.type(input)
    running.endInput()
    return await running.ended
  }

  #show(host: Host, args: readonly string[], input = ''): void {
    const echo = input === '' ? '' : `echo ${quote(input)} | `
    process.stdout.write(`${host.name}$ ${echo}warren ${args.map(quote).join(' ')}\n`)
  }

  #spawn(host: Host, args: readonly string[]): Running {
    const onLine = (line: string): void => void process.stdout.write(`  ${host.name}| ${shorten(line)}\n`)
    const env = { ...process.env, WARREN_RUNTIME_DIR: host.runtimeDir, WARREN_JOIN_TOKEN: undefined }
    const running = new Running(WARREN, args, { env, onLine })
    this.#running.push(running)
    return running
  }
}

/** Tells a story on a stage and cleans up; exits with 0 only if all of it happened. */
export async function story(tell: (stage: Stage) => Promise<void>): Promise<void> {
  const stage = new Stage()
  try {
    await tell(stage)
    stage.narrate(`All of it happened, in ${stage.seconds} s.`)
  } catch (err) {
    process.exitCode = 1
    process.stdout.write(`\n# FAILED: ${err instanceof Error ? err.message : String(err)}\n`)
  } finally {
    await stage[Symbol.asyncDispose]()
  }
}

/** Fails the story, and says which part of it did not happen. */
export function expect(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Error(`this did not happen: ${what}`)
}

function quote(text: string): string {
  if (text.length > 60) return shorten(text)
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text}'`
}

// A join token is some hundreds of characters, which say nothing to a reader.
function shorten(line: string): string {
  return line.replace(/[\w-]{120,}/g, word => `${word.slice(0, 24)}…`)
}
