import { closeSync, fchmodSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs'

/** Where programs, and resolvers that ask no server, look for names first. */
export const HOSTS = '/etc/hosts'

/** A copy of the file of hosts, to which names are added. It is written in place: a file that is mounted cannot be replaced. */
export class HostsFile {
  readonly path: string
  readonly #fd: number
  readonly #original: string
  #lines = ''

  /** Makes the file, which every user may read: a command may change its user. Throws the system's error. */
  constructor(path: string, original: string = readFileSync(HOSTS, 'utf8')) {
    this.path = path
    this.#original = original === '' || original.endsWith('\n') ? original : `${original}\n`
    this.#fd = openSync(path, 'wx', 0o644)
    try {
      // Whatever the umask.
      fchmodSync(this.#fd, 0o644)
      this.#write()
    } catch (err) {
      closeSync(this.#fd)
      throw err
    }
  }

  /** Adds names of an address. Programs find them at their next question. */
  add(address: string, names: readonly string[]): void {
    this.#lines += `${address} ${names.join(' ')}\n`
    this.#write()
  }

  /** Removes what was added: another program may get the addresses, and what the command left behind may still ask. */
  close(): void {
    this.#lines = ''
    this.#write()
    closeSync(this.#fd)
  }

  #write(): void {
    const bytes = Buffer.from(`${this.#original}${this.#lines}`)
    // The length last: in between, a reader finds all lines of before.
    writeSync(this.#fd, bytes, 0, bytes.length, 0)
    ftruncateSync(this.#fd, bytes.length)
  }
}
