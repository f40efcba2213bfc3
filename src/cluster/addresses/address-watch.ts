import { networkInterfaces } from 'node:os'
import { type Logger, loop } from '../../core/index.ts'
import { isLinkLocal } from './address-kinds.ts'
import type { Interfaces } from './reachable.ts'

/** How often the interfaces are read, in milliseconds: a read of three takes 0.05 ms, of 200 about 1 ms. */
const INTERVAL_MS = 2_000

export interface AddressWatchDeps {
  /** Called with the addresses that are new and those that are gone, after each change. */
  readonly onChange: (added: readonly string[], gone: readonly string[]) => void
  /** @default the interfaces of this machine */
  readonly interfaces?: () => Interfaces
  readonly log: Logger
}

/**
 * Follows the addresses of this machine: those of its interfaces, without loopback and IPv6 link-local.
 *
 * Node offers no notice of a change, so the interfaces are read every two seconds.
 */
export class AddressWatch {
  readonly #deps: AddressWatchDeps
  #present: ReadonlySet<string>

  constructor(deps: AddressWatchDeps) {
    this.#deps = deps
    this.#present = this.#read()
  }

  /** Follows the addresses until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    await loop(this.#deps.log, 'addresses', { intervalMs: () => INTERVAL_MS, signal }, () => this.round())
  }

  /** Reads the interfaces, and reports what has changed. */
  round(): void {
    const before = this.#present
    const now = this.#read()
    const added = [...now].filter(address => !before.has(address))
    const gone = [...before].filter(address => !now.has(address))
    if (added.length + gone.length === 0) return
    this.#present = now
    this.#deps.onChange(added, gone)
  }

  #read(): Set<string> {
    const { interfaces = networkInterfaces } = this.#deps
    const all = Object.values(interfaces()).flatMap((list = []) => list)
    const followed = all.filter(
      ({ internal, family, address }) => !internal && !(family === 'IPv6' && isLinkLocal(address))
    )
    return new Set(followed.map(({ address }) => address))
  }
}
