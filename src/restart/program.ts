import { type ExecFileException, execFile } from 'node:child_process'
import { closeSync, constants, lstatSync, openSync, readFileSync, readSync, realpathSync, statSync } from 'node:fs'
import { dirname, isAbsolute } from 'node:path'
import { isSea } from 'node:sea'
import { ErrorCode, fileFault, WarrenError } from '../core/index.ts'
import type { Program } from './document.ts'

/** The check loads all of the program, on a host that may be busy. */
const CHECK_MS = 60_000
const MAX_OUTPUT_BYTES = 64 * 1024
/** The reason in an error. */
const MAX_REASON = 500
const OTHERS_WRITE = 0o022
const STICKY = 0o1000

/** The program of this process, as its file is now. */
export function ownProgram(): Program {
  const { execPath, execArgv, argv } = process
  const file = execPath.replace(/ \(deleted\)$/, '')
  const start = isSea() ? [file] : [file, ...execArgv, ...argv.slice(1, 2)]
  return { file, argv: [...start, ...argumentsOf()] }
}

/**
 * Another program, with the arguments of this process. Throws INVALID_ARGUMENT for a file that is none, and PERMISSION_DENIED for
 * one that others could change: it gets all rights of the agent.
 */
export function otherProgram(path: string): Program {
  if (!isAbsolute(path)) throw new WarrenError(ErrorCode.InvalidArgument, `"${path.slice(0, 120)}" is no absolute path`)
  let file: string
  try {
    file = realpathSync(path)
    if (!statSync(file).isFile()) throw new WarrenError(ErrorCode.InvalidArgument, `${path} is not a file`)
    closeSync(openSync(file, constants.O_RDONLY))
  } catch (cause) {
    if (cause instanceof WarrenError) throw cause
    throw new WarrenError(ErrorCode.InvalidArgument, `cannot use ${path}: ${fileFault(path, cause).why}`, { cause })
  }
  requireSafe(file)
  return { file, argv: [file, ...argumentsOf()] }
}

// A member needs neither, and a token may be on standard input, which is read.
const ONCE = ['--init', '--join']

function argumentsOf(): string[] {
  const args = process.argv.slice(2)
  return args.filter(
    (word, at) =>
      !ONCE.includes(word) && !ONCE.includes(args[at - 1] ?? '') && !ONCE.some(one => word.startsWith(`${one}=`))
  )
}

// Whoever may write one of the directories could put another file there between the check and the start.
function requireSafe(file: string): void {
  const uid = process.getuid?.() ?? 0
  for (let at = file; ; at = dirname(at)) {
    const { uid: owner, mode } = lstatSync(at)
    const isShared = (mode & OTHERS_WRITE) !== 0 && (mode & STICKY) === 0
    if ((owner !== 0 && owner !== uid) || isShared) {
      throw new WarrenError(ErrorCode.PermissionDenied, `${at} can be changed by users besides root and the agent's`, {
        hint: 'Install the program where only root can write, as in /usr/local/bin, and name that file.'
      })
    }
    if (at === dirname(at)) return
  }
}

/** Whether this process has rights that other processes of its user have not. */
export function hasMoreRights(): boolean {
  try {
    const [, effective = '0'] = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? []
    return BigInt(`0x${effective}`) !== 0n
  } catch {
    return true
  }
}

/**
 * Lets a program check that it can start as an agent with its arguments, beside this one. Resolves with its version. Rejects with
 * UNSUPPORTED and the reason.
 */
export async function checkProgram({ file, argv }: Program, env: NodeJS.ProcessEnv): Promise<string> {
  const [, ...args] = argv
  requireProgram(file)
  const { promise, resolve } = Promise.withResolvers<{
    failure: ExecFileException | null
    stdout: string
    stderr: string
  }>()
  const options = { env, timeout: CHECK_MS, maxBuffer: MAX_OUTPUT_BYTES, killSignal: 'SIGKILL' } as const
  const child = execFile(file, [...args, '--check', '--json'], options, (failure, stdout, stderr) =>
    resolve({ failure, stdout, stderr })
  )
  child.stdin?.end()
  const { failure, stdout, stderr } = await promise
  const version = failure === null ? versionIn(stdout) : undefined
  if (version !== undefined) return version
  const said = stderr.trim() === '' ? silentEnd(failure) : stderr.trim()
  const reason = said.replaceAll(/\s+/g, ' ').slice(0, MAX_REASON)
  throw new WarrenError(ErrorCode.Unsupported, `${file} cannot take over: ${reason}`, {
    hint: 'Nothing has changed: the agent runs as before. A program without `warren up --check` is started by a restart.'
  })
}

// The message of Node has the whole command line, and hides that nothing was said.
function silentEnd(failure: ExecFileException | null): string {
  if (failure === null) return 'it does not answer as warren'
  if (failure.killed === true) return `it did not answer within ${CHECK_MS / 1_000} s, or said too much`
  return typeof failure.code === 'number' ? `it ended with code ${failure.code} and said nothing` : failure.message
}

function versionIn(stdout: string): string | undefined {
  try {
    const { version } = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as { version?: unknown }
    return typeof version === 'string' ? version : undefined
  } catch {
    return undefined
  }
}

const ELF = Buffer.from('\x7fELF', 'latin1')

// The kernel would refuse it only when the agent has stopped.
function requireProgram(file: string): void {
  const start = Buffer.alloc(ELF.length)
  try {
    const fd = openSync(file, constants.O_RDONLY)
    try {
      readSync(fd, start, 0, start.length, 0)
    } finally {
      closeSync(fd)
    }
  } catch (cause) {
    throw new WarrenError(ErrorCode.InvalidArgument, `cannot use ${file}: ${fileFault(file, cause).why}`, { cause })
  }
  if (start.equals(ELF) || start.toString('latin1', 0, 2) === '#!') return
  throw new WarrenError(ErrorCode.InvalidArgument, `${file} is no program`)
}
