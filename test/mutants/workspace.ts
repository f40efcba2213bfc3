import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { temporaryDirectory } from '../harness/temporary.ts'
import { type Mutant, planted } from './mutant.ts'

/** The top of the checkout, which is read only. */
export const CHECKOUT = resolve(import.meta.dirname, '../..')
/** Copied, since modules find one another by their real paths; all else is linked to. */
const COPIED = ['src', 'test', 'package.json', 'tsconfig.json']
/** Not needed, and not to be written to. */
const LEFT_OUT = ['.git', 'dist']

/** The text of a file of the checkout. */
export function sourceOf(path: string): string {
  return readFileSync(join(CHECKOUT, path), 'utf8')
}

/** A copy of the checkout in a temporary directory, in which mistakes may be made. */
export class Workspace implements Disposable {
  readonly directory: string
  /** For what its tests leave behind. */
  readonly temporary: string
  readonly #root: string

  constructor() {
    this.#root = temporaryDirectory('warren-mutant-')
    process.once('exit', this.#remove)
    this.directory = join(this.#root, 'w')
    this.temporary = join(this.#root, 't')
    for (const path of [this.directory, this.temporary]) mkdirSync(path, { mode: 0o755 })
    for (const name of readdirSync(CHECKOUT)) {
      const [from, to] = [join(CHECKOUT, name), join(this.directory, name)]
      if (COPIED.includes(name)) cpSync(from, to, { recursive: true })
      else if (!LEFT_OUT.includes(name)) symlinkSync(from, to)
    }
  }

  /** Makes the mistake. Throws if the list has rotted. */
  plant(mutant: Mutant): void {
    const path = join(this.directory, mutant.file)
    writeFileSync(path, planted(readFileSync(path, 'utf8'), mutant))
  }

  [Symbol.dispose](): void {
    process.off('exit', this.#remove)
    this.#remove()
  }

  readonly #remove = (): void => rmSync(this.#root, { recursive: true, force: true, maxRetries: 3 })
}
