import { z } from 'zod'
import { lazy } from '../../core/index.ts'
import type { PeerKey } from '../../identity/index.ts'
import type { Store } from '../../state/index.ts'

const SETTING = 'authorities-issued'
/** Greater than the number of authorities in a trust domain. */
const MAX_ISSUED = 256
const schema = lazy(() =>
  z.array(z.strictObject({ machine: z.string(), peer: z.string(), keySha256: z.string() })).max(MAX_ISSUED)
)

type Issued = z.infer<ReturnType<typeof schema>>[number]

/**
 * The authority keys for which this host has issued certificates with its root key, and their hosts. The eviction of such a
 * host must revoke them, whether or not the host can be asked.
 */
export class IssuedStore {
  readonly #store: Pick<Store, 'setting' | 'setSetting'>

  constructor(store: Pick<Store, 'setting' | 'setSetting'>) {
    this.#store = store
  }

  /** Hex hashes of the keys of a machine's authorities. */
  keysOf(machine: string): string[] {
    return this.#all().flatMap(issued => (issued.machine === machine ? [issued.keySha256] : []))
  }

  /** Durable when it returns. */
  note(machine: string, peer: PeerKey, keySha256: string): void {
    const all = this.#all()
    if (all.some(issued => issued.machine === machine && issued.keySha256 === keySha256)) return
    this.#save([{ machine, peer, keySha256 }, ...all].slice(0, MAX_ISSUED))
  }

  forget(machine: string): void {
    this.#save(this.#all().filter(issued => issued.machine !== machine))
  }

  #all(): Issued[] {
    const bytes = this.#store.setting(SETTING)
    if (bytes === undefined) return []
    // Damage must be reported: an eviction that leaves the key of an authority in force would be worse.
    return schema().parse(JSON.parse(Buffer.from(bytes).toString('utf8')))
  }

  #save(all: readonly Issued[]): void {
    this.#store.setSetting(SETTING, Buffer.from(JSON.stringify(all)))
  }
}
