import { lstatSync } from 'node:fs'
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

const BUNDLE = 'bundle.pem'
const KEY = 'svid_key.pem'
const CERTIFICATE = 'svid.pem'
const KIND: OutputOptions = {
  what: 'a certificate or key',
  isSameKind: head => head.toString('latin1').startsWith('-----BEGIN ')
}

/** A directory of three files for programs that can only read files: `svid.pem`, `svid_key.pem` and `bundle.pem`. */
export class SvidDirectory {
  readonly path: string

  /**
   * Makes the directory, mode 0700, unless it is there.
   *
   * Throws INVALID_ARGUMENT for no path at all, which would be the directory of whoever calls, and INVALID_OPTION for one in
   * which another user could put other files into the place of these.
   */
  constructor(given: string) {
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
      makeDirectories(path, 0o700)
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
   * Replaces the three files, each in one step. The certificate comes last: a program that waits for its change finds its key
   * and its roots there. A file of another kind stays, and then none is written: a key is never left beside the certificate
   * of another key. Throws INVALID_OPTION when that cannot be written.
   */
  write({ certificates, key, bundle }: PemSvid): void {
    for (const name of [BUNDLE, KEY, CERTIFICATE]) this.#attempt(name, path => checkOutput(path, KIND))
    this.#replace(BUNDLE, bundle, 0o644)
    this.#replace(KEY, key, 0o600)
    this.#replace(CERTIFICATE, certificates, 0o644)
  }

  #replace(name: string, text: string, mode: number): void {
    this.#attempt(name, path => writeOutput(path, text, { ...KIND, mode }))
  }

  #attempt(name: string, act: (path: string) => void): void {
    try {
      act(join(this.path, name))
    } catch (cause) {
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
