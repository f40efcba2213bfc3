import type { HostPort } from '../../core/index.ts'
import type { Remote } from '../../udp/index.ts'

/** Places that are remembered; with one more all are forgotten. */
const MAX_KNOWN = 8_192

/** Texts for the places that datagrams come from, and back. */
export class Places {
  readonly #texts = new WeakMap<Remote, string>()
  readonly #known = new Map<string, Remote>()

  textOf(remote: Remote): string {
    const known = this.#texts.get(remote)
    if (known !== undefined) return known
    const text = `${remote.port} ${remote.address}`
    this.#texts.set(remote, text)
    return text
  }

  /** The place of a text; the same object as long as it is remembered. */
  at(text: string): Remote {
    const known = this.#known.get(text)
    if (known !== undefined) return known
    const { host: address, port } = placeOf(text)
    const remote = { address, port }
    if (this.#known.size >= MAX_KNOWN) this.#known.clear()
    this.#known.set(text, remote)
    return remote
  }
}

/** The address and port of a place that `bindUdp` named. */
export function placeOf(text: string): HostPort {
  const space = text.indexOf(' ')
  return { host: text.slice(space + 1), port: Number(text.slice(0, space)) }
}
