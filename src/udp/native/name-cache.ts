import type { Remote } from '../endpoint.ts'
import { NAME_BYTES } from './layout.ts'
import { decodeName } from './names.ts'

/** Maximum of addresses that are kept; one more clears the cache. */
const MAX_KNOWN = 4_096

/** Reads names that the kernel wrote, and returns the same object for the same name. */
export class NameCache {
  readonly #known = new Map<string, Remote>()
  #last: Remote | undefined
  #lastName = ''

  /** Undefined unless it is a UDP address. */
  read(memory: Buffer, at: number): Remote | undefined {
    const name = memory.toString('latin1', at, at + NAME_BYTES)
    if (name === this.#lastName) return this.#last
    this.#last = this.#known.get(name) ?? this.#learn(name)
    this.#lastName = name
    return this.#last
  }

  #learn(name: string): Remote | undefined {
    const remote = decodeName(Buffer.from(name, 'latin1'))
    if (remote === undefined) return undefined
    if (this.#known.size >= MAX_KNOWN) this.#known.clear()
    this.#known.set(name, remote)
    return remote
  }
}
