import type { Remote } from '../endpoint.ts'
import { NAME_BYTES } from './layout.ts'
import { decodeName } from './names.ts'

/** Addresses that are remembered; with one more all are forgotten. */
const MAX_KNOWN = 4_096

/** Reads names that the kernel wrote, and answers the same object for the same name. */
export class NameCache {
  readonly #known = new Map<string, Remote>()
  #last: Remote | undefined
  #lastName = ''

  /** Undefined for what is no address of UDP. */
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
