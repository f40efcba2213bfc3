import { WarrenError } from '../core/index.ts'
import type { Workload, Workloads } from '../workloads/index.ts'

interface Entry {
  readonly workload: Promise<Workload>
  users: number
  /** Once it is registered. */
  registrationId?: string
}

/** The registrations that forwards of files connect as: one for each user and address, for as long as a forward has it. */
export class DeclaredSources {
  readonly #workloads: Pick<Workloads, 'declare' | 'end'>
  readonly #entries = new Map<string, Entry>()

  constructor(workloads: Pick<Workloads, 'declare' | 'end'>) {
    this.#workloads = workloads
  }

  /** Rejects as `declare`. The function returned gives it back. */
  async acquire(as: string, uid: number): Promise<{ workload: Workload; release: () => void }> {
    const key = `${uid} ${as}`
    const entry: Entry = this.#entries.get(key) ?? { workload: this.#register(as, uid), users: 0 }
    this.#entries.set(key, entry)
    entry.users += 1
    let isHeld = true
    const release = (): void => {
      if (!isHeld) return
      isHeld = false
      entry.users -= 1
      if (entry.users > 0) return
      if (this.#entries.get(key) === entry) this.#entries.delete(key)
      entry.workload.then(({ registrationId }) => this.#workloads.end(registrationId, 'deregistered')).catch(() => {})
    }
    try {
      const workload = await entry.workload
      entry.registrationId = workload.registrationId
      return { workload, release }
    } catch (err) {
      release()
      throw WarrenError.from(err)
    }
  }

  /** A registration has ended: the next forward makes another one. */
  ended(registrationId: string): void {
    for (const [key, entry] of this.#entries) {
      if (entry.registrationId === registrationId) this.#entries.delete(key)
    }
  }

  async #register(as: string, uid: number): Promise<Workload> {
    const input = { address: as, target: undefined, whitelist: [], labels: {}, ttlMs: 0, ownerPid: 0 }
    return await this.#workloads.declare({ ...input, application: 'warren.yaml' }, uid)
  }
}
