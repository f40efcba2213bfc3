import { createHash } from 'node:crypto'
import { closeSync, constants, fsyncSync, openSync, writeSync } from 'node:fs'
import { ErrorCode, WarrenError } from '../core/index.ts'
import { readIfPresent, replaceFile } from './files.ts'

const HEADER = 'warren state 1'
const LINE = /^([+-])([a-z0-9.]+)$/
const CONTENT = /^=([a-z0-9.]+) ([0-9a-f]{64})$/

interface Listed {
  readonly names: ReadonlySet<string>
  /** Hex SHA-256 of their last content, for files with a noted content. */
  readonly digests: ReadonlyMap<string, string>
}

/**
 * The files of a state directory, by a record of changes: the only way to distinguish a lost file from one that never existed.
 *
 * A line records that a file was added or removed, or its content. Lines are only added, so that the agent and a command may
 * write at once. A line that a crash has cut off is ignored.
 */
export class Manifest {
  readonly #path: string

  constructor(path: string) {
    this.#path = path
  }

  /** The files that must be there; undefined if there is no manifest. Throws STATE_UNUSABLE if it is damaged. */
  names(): ReadonlySet<string> | undefined {
    return this.#read()?.names
  }

  /** Whether this is the last noted content of a file. */
  hadContent(name: string, content: Uint8Array): boolean {
    return this.#read()?.digests.get(name) === digestOf(content)
  }

  #read(): Listed | undefined {
    const text = readIfPresent(this.#path)?.toString('utf8')
    if (text === undefined) return undefined
    const [header, ...lines] = text.split('\n')
    // The text after the last line break is a line that was cut off.
    lines.pop()
    if (header !== HEADER || !text.includes('\n')) {
      throw new WarrenError(ErrorCode.StateUnusable, `${this.#path} is damaged`, {
        hint: 'See that every other file of the state directory is there, remove this one, and start once with --accept-lost-state: it is made anew.'
      })
    }
    const names = new Set<string>()
    const digests = new Map<string, string>()
    for (const line of lines) {
      const [, sign, name = ''] = LINE.exec(line) ?? []
      if (sign === '+') names.add(name)
      if (sign === '-') {
        names.delete(name)
        digests.delete(name)
      }
      const [, file = '', digest = ''] = CONTENT.exec(line) ?? []
      if (digest !== '') digests.set(file, digest)
    }
    return { names, digests }
  }

  /** Makes it, with these files; durable when it returns. */
  begin(names: readonly string[]): void {
    replaceFile(this.#path, [HEADER, ...names.map(name => `+${name}`), ''].join('\n'))
  }

  /** Notes that a file exists, after it was written. */
  add(name: string): void {
    if (this.names()?.has(name) === false) this.#append(`+${name}`)
  }

  /** Notes the content of a listed file, after it was written. */
  noteContent(name: string, content: Uint8Array): void {
    const digest = digestOf(content)
    const listed = this.#read()
    if (listed?.names.has(name) === true && listed.digests.get(name) !== digest) this.#append(`=${name} ${digest}`)
  }

  /** Notes that a file will be removed, before it is. */
  drop(name: string): void {
    if (this.names()?.has(name) === true) this.#append(`-${name}`)
  }

  #append(line: string): void {
    const file = openSync(this.#path, constants.O_WRONLY | constants.O_APPEND | constants.O_NOFOLLOW)
    try {
      // A line that was cut off becomes one without a meaning. It is short, so that one write is enough.
      const isCut = readIfPresent(this.#path)?.at(-1) !== 0x0a
      writeSync(file, `${isCut ? '~\n' : ''}${line}\n`)
      fsyncSync(file)
    } catch (cause) {
      throw new WarrenError(ErrorCode.StateUnusable, `cannot write ${this.#path}: ${String(cause)}`, { cause })
    } finally {
      closeSync(file)
    }
  }
}

function digestOf(content: Uint8Array): string {
  return createHash('sha256').update(content).digest('hex')
}
