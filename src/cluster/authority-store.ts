import type { OwnerView } from '../registry/index.ts'
import type { Store } from '../state/index.ts'

/** The capability in the head of a host that holds an authority. */
export const AUTHORITY_CAPABILITY = 'authority'

const SETTING = 'authorities'
const MAX_AUTHORITIES = 16
const MAX_ADDRESSES = 8

/** Stores on disk the data addresses of the authorities, for a host that the mesh no longer admits. */
export class AuthorityStore {
  readonly #store: Pick<Store, 'setting' | 'setSetting'>
  #known: ReadonlyMap<string, readonly string[]>

  constructor(store: Pick<Store, 'setting' | 'setSetting'>) {
    this.#store = store
    this.#known = read(store.setting(SETTING))
  }

  /** host:port of data listeners, one authority after another. */
  addresses(): string[] {
    return [...this.#known.values()].flat()
  }

  /** Records the newest head of a host. */
  note({ machine, self, capabilities, dataAddresses }: OwnerView): void {
    if (self) return
    if (!capabilities.includes(AUTHORITY_CAPABILITY)) {
      if (!this.#known.has(machine)) return
      this.#save([...this.#known].filter(([name]) => name !== machine))
      return
    }
    if (dataAddresses.length === 0) return
    const addresses = dataAddresses.slice(0, MAX_ADDRESSES)
    if (this.#known.get(machine)?.join() === addresses.join()) return
    // The newest first; a host that falsely claims to be an authority can only push out the oldest.
    const rest = [...this.#known].filter(([name]) => name !== machine)
    this.#save([[machine, addresses] as const, ...rest].slice(0, MAX_AUTHORITIES))
  }

  #save(entries: ReadonlyArray<readonly [string, readonly string[]]>): void {
    this.#known = new Map(entries)
    this.#store.setSetting(SETTING, Buffer.from(JSON.stringify([...this.#known])))
  }
}

function read(bytes: Uint8Array | undefined): ReadonlyMap<string, readonly string[]> {
  if (bytes === undefined) return new Map()
  try {
    const found: unknown = JSON.parse(Buffer.from(bytes).toString('utf8'))
    if (!Array.isArray(found)) return new Map()
    return new Map(found.filter(isEntry))
  } catch {
    // Only an aid: the next head of an authority writes it anew.
    return new Map()
  }
}

function isEntry(entry: unknown): entry is [string, string[]] {
  if (!Array.isArray(entry)) return false
  const [machine, addresses]: unknown[] = entry
  return typeof machine === 'string' && Array.isArray(addresses) && addresses.every(one => typeof one === 'string')
}
