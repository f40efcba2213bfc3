import { knowsBeside, type RegistryState } from '../registry/index.ts'

/**
 * Which members have told this process what they have: the registry, the policy, and what each admin has stated.
 *
 * What the process before knew is as old as its end. A host that was evicted since says so to nobody; any other member does.
 */
export class HeardMembers {
  readonly #state: RegistryState
  readonly #machines = new Set<string>()

  constructor(state: RegistryState) {
    this.#state = state
  }

  /** This process has everything that the host had a moment ago. */
  readonly heard = (machine: string | undefined): void => {
    if (machine !== undefined) this.#machines.add(machine)
  }

  /** Whether a member besides `machine` has been heard, or none is known. */
  hasBeside(machine: string): boolean {
    if (!knowsBeside(this.#state, machine)) return true
    for (const one of this.#machines) if (one !== machine) return true
    return false
  }
}
