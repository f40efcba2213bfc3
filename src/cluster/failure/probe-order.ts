import type { PeerKey } from '../../identity/index.ts'

/**
 * Takes one of a changing set of members after the other, in an order that is shuffled anew for each pass: each comes
 * within two passes, and two hosts do not go in step.
 */
export class ProbeOrder {
  readonly #all: () => readonly PeerKey[]
  readonly #random: () => number
  #pass: PeerKey[] = []

  constructor(all: () => readonly PeerKey[], random: () => number) {
    this.#all = all
    this.#random = random
  }

  next(): PeerKey | undefined {
    if (this.#pass.length === 0) this.#pass = this.#shuffled()
    return this.#pass.pop()
  }

  #shuffled(): PeerKey[] {
    const pass = [...this.#all()]
    for (let i = pass.length - 1; i > 0; i -= 1) {
      const j = Math.floor(this.#random() * (i + 1))
      const [a, b] = [pass[i], pass[j]]
      if (a !== undefined && b !== undefined) {
        pass[i] = b
        pass[j] = a
      }
    }
    return pass
  }
}
