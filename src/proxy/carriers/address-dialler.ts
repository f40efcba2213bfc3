import { LruMap, raceStaggered, within, withoutMapping } from '../../core/index.ts'
import type { PeerKey } from '../../identity/index.ts'
import { DIAL_TIMEOUT_MS, RESUME_TIMEOUT_MS, SILENT_PATH_MS, STAGGER_MS } from '../timing.ts'
import { type Dialled, type DialOptions, dialAddress } from '../tls/index.ts'
import { type AddressPath, goodFirst, isSamePath, pathsTo, type SilentPath } from './address-paths.ts'

/** With many addresses the attempts begin closer together, so that the last one still has time; RFC 8305 allows 100 ms. */
const MIN_STAGGER_MS = 100
/** Time in which all attempts begin, if they can. */
const SPREAD_MS = 1_600
/** Agents whose last address that led to them is remembered; as many have paths that are silent. */
const MAX_REMEMBERED = 2_048
/** Silent paths of one agent. */
const MAX_SILENT = 8

interface Silence extends SilentPath {
  readonly untilMs: number
}

export interface LocalAddresses {
  /** The addresses of this host that another host may reach. @default none */
  readonly localAddresses?: (() => readonly string[]) | undefined
}

export interface AddressDiallerOptions extends LocalAddresses {
  /** @default the monotonic clock */
  readonly nowMs?: () => number
}

/**
 * Opens sessions at one of the addresses of an agent, each tried a little after the one before. The first that answers is used, and
 * is the first to be dialled next time.
 */
export class AddressDialler {
  readonly #lastGood = new LruMap<PeerKey, AddressPath>(MAX_REMEMBERED)
  readonly #silent = new LruMap<PeerKey, readonly Silence[]>(MAX_REMEMBERED)
  readonly #localAddresses: () => readonly string[]
  readonly #nowMs: () => number

  constructor({ localAddresses = () => [], nowMs = () => performance.now() }: AddressDiallerOptions = {}) {
    this.#localAddresses = localAddresses
    this.#nowMs = nowMs
  }

  async dial(peer: PeerKey, all: readonly string[], options: DialOptions, signal: AbortSignal): Promise<Dialled> {
    const paths = pathsTo(all, this.#silentOf(peer), this.#localAddresses)
    const ordered = goodFirst(paths, this.#lastGood.get(peer), all, this.#localAddresses)
    const attempts = ordered.map(path => (limit: AbortSignal) => dialAddress(path, options, limit))
    const staggerMs = Math.max(MIN_STAGGER_MS, Math.min(STAGGER_MS, SPREAD_MS / attempts.length))
    const timeoutMs = options.isPatient === true ? RESUME_TIMEOUT_MS : DIAL_TIMEOUT_MS
    const dialled = await within(timeoutMs, [signal], limit =>
      raceStaggered(attempts, staggerMs, limit, late => late.session.destroy())
    )
    if (dialled.at !== undefined) this.#lastGood.set(peer, dialled.at)
    return dialled
  }

  /**
   * Notes that a session at one of these addresses does not answer: for a while, other paths are tried before it. Returns whether
   * there are others.
   */
  avoid(peer: PeerKey, all: readonly string[], { at, socket }: Pick<Dialled, 'at' | 'socket'>): boolean {
    const { localAddress } = socket
    if (at === undefined || localAddress === undefined) return false
    const { address } = at
    const here = withoutMapping(localAddress)
    const untilMs = this.#nowMs() + SILENT_PATH_MS
    const before = this.#silentOf(peer).filter(one => one.address !== address || one.localAddress !== here)
    const silent = [...before, { address, localAddress: here, untilMs }].slice(-MAX_SILENT)
    this.#silent.set(peer, silent)
    const good = this.#lastGood.get(peer)
    if (good !== undefined && isSamePath(good, at)) this.#lastGood.delete(peer)
    return pathsTo(all, silent, this.#localAddresses).length > 1
  }

  #silentOf(peer: PeerKey): readonly Silence[] {
    const all = this.#silent.get(peer)
    if (all === undefined) return []
    const nowMs = this.#nowMs()
    const left = all.filter(({ untilMs }) => nowMs < untilMs)
    if (left.length === 0) this.#silent.delete(peer)
    return left
  }
}
