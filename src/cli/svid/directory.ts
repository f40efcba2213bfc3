import { randomBytes } from 'node:crypto'
import { lstatSync, mkdirSync } from 'node:fs'
import { open, rename, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import type { PemSvid } from './pem.ts'

const BUNDLE = 'bundle.pem'
const KEY = 'svid_key.pem'
const CERTIFICATE = 'svid.pem'

/** A directory of three files for programs that can only read files: `svid.pem`, `svid_key.pem` and `bundle.pem`. */
export class SvidDirectory {
  readonly path: string

  /**
   * Makes the directory, mode 0700, unless it is there.
   *
   * Throws INVALID_OPTION for one in which another user could put other files into the place of these.
   */
  constructor(path: string) {
    this.path = path
    try {
      mkdirSync(path, { recursive: true, mode: 0o700 })
    } catch (cause) {
      throw unusable(path, `cannot be made: ${codeOf(cause)}`, cause)
    }
    const { uid, mode } = lstatSync(`${path}/.`)
    if (uid !== process.getuid?.()) throw unusable(path, `belongs to uid ${uid}`)
    if ((mode & 0o022) !== 0) throw unusable(path, 'can be written by others')
  }

  /**
   * Replaces the three files, each at once and whole. The certificate comes last: who waits for it to change finds its key
   * and its roots there. Rejects with INVALID_OPTION when that cannot be written.
   */
  async write({ certificates, key, bundle }: PemSvid): Promise<void> {
    await this.#replace(BUNDLE, bundle, 0o644)
    await this.#replace(KEY, key, 0o600)
    await this.#replace(CERTIFICATE, certificates, 0o644)
  }

  async #replace(name: string, text: string, mode: number): Promise<void> {
    const staged = join(this.path, `.${name}.${randomBytes(6).toString('hex')}`)
    try {
      // Exclusive, so it is followed through no link, and the key never is in a file that others may read.
      const file = await open(staged, 'wx', mode)
      try {
        await file.chmod(mode)
        await file.writeFile(text)
        await file.sync()
      } finally {
        await file.close()
      }
      await rename(staged, join(this.path, name))
    } catch (cause) {
      await unlink(staged).catch(() => {})
      throw unusable(this.path, `takes no ${name}: ${codeOf(cause)}`, cause)
    }
  }
}

function unusable(path: string, why: string, cause?: unknown): WarrenError {
  return new WarrenError(ErrorCode.InvalidOption, `--out ${path} ${why}`, {
    hint: 'Choose a directory of your own that nobody else can write to.',
    cause
  })
}

function codeOf(err: unknown): string {
  return err instanceof Error && 'code' in err ? String(err.code) : 'it failed'
}
