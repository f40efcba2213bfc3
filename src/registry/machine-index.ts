import type { PeerKey } from '../identity/index.ts'

const NONE: readonly PeerKey[] = []

/** The owners that are held, by the machine in their heads, so that a connect need not look at all of them. */
export class MachineIndex {
  readonly #owners = new Map<string, readonly PeerKey[]>()

  add(machine: string, owner: PeerKey): void {
    this.#owners.set(machine, [...this.at(machine), owner])
  }

  remove(machine: string, owner: PeerKey): void {
    const left = this.at(machine).filter(one => one !== owner)
    if (left.length === 0) this.#owners.delete(machine)
    else this.#owners.set(machine, left)
  }

  /** The owners of this machine name, the one that was held first in front: two while a name changes hands. */
  at(machine: string): readonly PeerKey[] {
    return this.#owners.get(machine) ?? NONE
  }

  /** Number of owners listed, under all names. */
  get size(): number {
    let size = 0
    for (const owners of this.#owners.values()) size += owners.length
    return size
  }
}
