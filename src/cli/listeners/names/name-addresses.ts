import { randomInt } from 'node:crypto'
import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  claimDirectory,
  ErrorCode,
  fileFault,
  systemCode,
  tryLock,
  WarrenError,
  writeOutput
} from '../../../core/index.ts'

export interface NameAddressesOptions {
  /** Called when the addresses could not be written. */
  readonly onFailure: (err: unknown) => void
  /** Destinations that are kept; beyond it the one that was asked for longest ago loses its address. @default 4_096 */
  readonly maxNames?: number
}

const MAX_NAMES = 4_096
const FILE = 'addresses.json'
/** A file that this user alone can open: whoever can open the directory could hold a lock of it for ever. */
const LOCK_FILE = 'warren-dns.lock'
const HEAD = '{"warrenDns":1,'
/** New addresses within this time are written together, in milliseconds. */
const WRITE_PAUSE_MS = 200
const ADDRESS = /^127\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/

/**
 * An address of 127.64.0.0/10 for each destination: the same one at the next start, and never one that another destination has.
 *
 * They are drawn at random, so that nobody can choose a name whose address will be that of another one.
 */
export class NameAddresses {
  readonly #path: string
  readonly #lock: number
  readonly #options: NameAddressesOptions
  /** By destination; the one that was asked for longest ago is the first. */
  readonly #addresses: Map<string, string>
  readonly #taken: Set<string>
  #timer: NodeJS.Timeout | undefined

  private constructor(path: string, lock: number, addresses: Map<string, string>, options: NameAddressesOptions) {
    this.#path = path
    this.#lock = lock
    this.#addresses = addresses
    this.#options = options
    this.#taken = new Set(addresses.values())
  }

  /**
   * Reads the addresses in `directory`, which is made if there is none, and keeps other processes from it until `close`.
   *
   * Rejects with STATE_UNUSABLE for a directory of somebody else or a damaged file, with ALREADY_EXISTS while another has it.
   */
  static async open(directory: string, options: NameAddressesOptions): Promise<NameAddresses> {
    const isOurs = (names: readonly string[]): boolean => names.includes(FILE) || names.includes(LOCK_FILE)
    claimDirectory(directory, { what: 'the directory of addresses', mode: 0o700, isOurs, option: '--state-dir' })
    const lock = openLock(join(directory, LOCK_FILE))
    try {
      if (!(await tryLock(lock))) {
        throw new WarrenError(ErrorCode.AlreadyExists, `another warren dns keeps its addresses in ${directory}`, {
          hint: 'End it, or give this one a directory of its own: --state-dir DIR.'
        })
      }
      const path = join(directory, FILE)
      return new NameAddresses(path, lock, readAddresses(path), options)
    } catch (err) {
      closeSync(lock)
      throw err
    }
  }

  /** Destinations that were asked for last, at most `count`. */
  recent(count: number): string[] {
    return [...this.#addresses.keys()].slice(-count)
  }

  /** The address of a destination; drawn if it has none. */
  addressOf(destination: string): string {
    const known = this.#addresses.get(destination)
    if (known === undefined) return this.replace(destination)
    this.#addresses.delete(destination)
    this.#addresses.set(destination, known)
    return known
  }

  /** Gives a destination another address: a program that is not ours has its ports at the former one. */
  replace(destination: string): string {
    const address = this.#draw()
    this.#forget(destination)
    const { maxNames = MAX_NAMES } = this.#options
    for (const oldest of this.#addresses.keys()) {
      if (this.#addresses.size < maxNames) break
      this.#forget(oldest)
    }
    this.#addresses.set(destination, address)
    this.#taken.add(address)
    this.#timer ??= setTimeout(() => this.#write(), WRITE_PAUSE_MS)
    return address
  }

  /** Writes what is new, and lets others have the directory. */
  close(): void {
    if (this.#timer !== undefined) this.#write()
    closeSync(this.#lock)
  }

  #draw(): string {
    for (;;) {
      const address = `127.${randomInt(64, 128)}.${randomInt(0, 256)}.${randomInt(1, 255)}`
      if (!this.#taken.has(address)) return address
    }
  }

  #forget(destination: string): void {
    const address = this.#addresses.get(destination)
    if (address === undefined) return
    this.#addresses.delete(destination)
    this.#taken.delete(address)
  }

  #write(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const lines = [...this.#addresses].map(pair => JSON.stringify(pair)).join(',\n')
    const isSameKind = (head: Buffer): boolean => head.toString('latin1').startsWith(HEAD)
    try {
      writeOutput(this.#path, `${HEAD}"addresses":[\n${lines}\n]}\n`, { what: 'the addresses of names', isSameKind })
    } catch (err) {
      this.#options.onFailure(err)
    }
  }
}

// Nothing else can have made it: the directory is this user's alone to write. A link, or a file that others could open, is refused.
function openLock(path: string): number {
  let lock: number
  try {
    lock = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_NONBLOCK, 0o600)
  } catch (cause) {
    throw unusableLock(path, `cannot be opened: ${fileFault(path, cause).why}`, cause)
  }
  const { mode } = fstatSync(lock)
  if ((mode & constants.S_IFMT) === constants.S_IFREG && (mode & 0o077) === 0) return lock
  closeSync(lock)
  throw unusableLock(path, 'is no file of this user alone')
}

function unusableLock(path: string, why: string, cause?: unknown): WarrenError {
  return new WarrenError(ErrorCode.StateUnusable, `the lock ${path} ${why}`, {
    hint: 'Remove it, or choose another directory with --state-dir.',
    cause
  })
}

function readAddresses(path: string): Map<string, string> {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (cause) {
    if (systemCode(cause) === 'ENOENT') return new Map()
    throw damaged(path, cause)
  }
  try {
    const { addresses }: { addresses?: unknown } = JSON.parse(text)
    if (!Array.isArray(addresses)) throw new TypeError('no list')
    const pairs: [string, string][] = addresses.map((pair: unknown) => {
      const [name, address]: unknown[] = Array.isArray(pair) ? pair : []
      if (typeof name !== 'string' || typeof address !== 'string' || !isOurs(address)) throw new TypeError('no pair')
      return [name, address]
    })
    const byName = new Map(pairs)
    if (new Set(byName.values()).size < pairs.length) throw new TypeError('an address is there twice')
    return byName
  } catch (cause) {
    throw damaged(path, cause)
  }
}

function isOurs(address: string): boolean {
  const [, a, b, c] = (ADDRESS.exec(address) ?? []).map(Number)
  return a !== undefined && b !== undefined && c !== undefined && a >= 64 && a < 128 && b < 256 && c > 0 && c < 255
}

function damaged(path: string, cause: unknown): WarrenError {
  return new WarrenError(ErrorCode.StateUnusable, `${path} cannot be read as the addresses of names`, {
    hint: `Remove it: names then get new addresses. Or choose another directory with --state-dir.`,
    cause
  })
}
