import { chownSync, lstatSync } from 'node:fs'
import { join, resolve } from 'node:path'
import {
  checkOutput,
  ErrorCode,
  fileFault,
  makeDirectories,
  type OutputOptions,
  standsAt,
  WarrenError,
  writeOutput
} from '../../core/index.ts'
import type { PemSvid } from './pem.ts'
import { swapIn } from './swap.ts'

const BUNDLE = 'bundle.pem'
const KEY = 'svid_key.pem'
const CERTIFICATE = 'svid.pem'
const NAMES = [BUNDLE, KEY, CERTIFICATE]
const KIND: OutputOptions = {
  what: 'a certificate or key',
  isSameKind: head => head.toString('latin1').startsWith('-----BEGIN ')
}

export interface DirectoryOptions {
  /** The files are links into a directory that is replaced in one step. @default false */
  readonly asOne?: boolean | undefined
  /** Mode of the key. @default 0o600, or 0o640 with a group */
  readonly mode?: number | undefined
  /** The group that may enter the directory, if it is made, and read the key as its mode says. @default none */
  readonly group?: number | undefined
}

/** A directory of three files for programs that can only read files: `svid.pem`, `svid_key.pem` and `bundle.pem`. */
export class SvidDirectory {
  readonly path: string
  readonly #options: DirectoryOptions

  /**
   * Makes the directory, mode 0700, or 0750 for a group, unless it is there.
   *
   * Throws INVALID_ARGUMENT for no path at all, which would be the directory of whoever calls, and INVALID_OPTION for one in
   * which another user could put other files into the place of these.
   */
  constructor(given: string, options: DirectoryOptions = {}) {
    this.#options = options
    if (given === '') {
      throw new WarrenError(ErrorCode.InvalidArgument, '--out names no directory', {
        hint: 'Give the path of one, or . for the current one; a variable in a script may be unset.'
      })
    }
    const path = resolve(given)
    this.path = path
    try {
      if (standsAt(path)?.isFile() === true) {
        const hint = 'Give a directory: three files are written into it.'
        throw unusable(path, 'is a file and not a directory', undefined, hint)
      }
      const isNew = standsAt(path) === undefined
      makeDirectories(path, options.group === undefined ? 0o700 : 0o750)
      if (isNew && options.group !== undefined) chownSync(path, process.getuid?.() ?? 0, options.group)
    } catch (cause) {
      if (cause instanceof WarrenError) throw cause
      const { why, hint } = fileFault(path, cause)
      throw unusable(path, `cannot be made: ${why}`, cause, hint)
    }
    const { uid, mode } = lstatSync(`${path}/.`)
    if (uid !== process.getuid?.()) throw unusable(path, `belongs to uid ${uid}`)
    if ((mode & 0o022) !== 0) throw unusable(path, 'can be written by others')
  }

  /**
   * Replaces the three files, each in one step or all in one. The certificate comes last: a program that waits for its change finds
   * its key and its roots there. A file of another kind stays, and then none is written: a key is never left beside the certificate
   * of another key. Throws INVALID_OPTION when that cannot be written.
   */
  write(svid: PemSvid): void {
    if (this.#options.asOne !== true) {
      for (const name of NAMES) this.#attempt(name, path => checkOutput(path, KIND))
      this.#replace(this.path, svid)
      return
    }
    for (const name of NAMES) {
      this.#attempt(name, path => {
        if (standsAt(path)?.isSymbolicLink() !== true) checkOutput(path, KIND)
      })
    }
    this.#attempt('files', () => swapIn(this.path, NAMES, directory => this.#replace(directory, svid)))
  }

  #replace(directory: string, { certificates, key, bundle }: PemSvid): void {
    const { group, mode = group === undefined ? 0o600 : 0o640 } = this.#options
    const put = (name: string, text: string, options: Pick<OutputOptions, 'mode' | 'gid'>): void =>
      this.#attempt(name, () => writeOutput(join(directory, name), text, { ...KIND, ...options }))
    put(BUNDLE, bundle, { mode: 0o644 })
    put(KEY, key, { mode, gid: group })
    put(CERTIFICATE, certificates, { mode: 0o644 })
  }

  #attempt(name: string, act: (path: string) => void): void {
    try {
      act(join(this.path, name))
    } catch (cause) {
      if (WarrenError.is(cause, ErrorCode.InvalidOption)) throw cause
      const why = cause instanceof WarrenError ? cause.reason : fileFault(join(this.path, name), cause).why
      const hint = cause instanceof WarrenError ? OTHERS_FILE : HINT
      throw unusable(this.path, `takes no ${name}: ${why}`, cause, hint)
    }
  }
}

const OTHERS_FILE = 'It is not replaced: move it away if nobody needs it, or choose another directory.'
const HINT = 'Choose a directory of your own that nobody else can write to.'

function unusable(path: string, why: string, cause?: unknown, hint = HINT): WarrenError {
  return new WarrenError(ErrorCode.InvalidOption, `--out ${path} ${why}`, { hint, cause })
}
