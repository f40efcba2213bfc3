import { accountOf, type LocalUser, sameUser } from '../../attest/index.ts'
import type { CutKind } from './cut.ts'

/** How a connection ended, for the users of its ends on this host. */
export type ConnectionEnd =
  | { readonly state: 'open' | 'ended' | 'unknown' }
  | { readonly state: 'cut'; readonly kind: CutKind; readonly reason: string }

interface PastFlow {
  readonly user: LocalUser
  readonly end: ConnectionEnd
}

/** Connections of one account, by the names of their flows. */
interface OfAccount {
  readonly flows: Map<string, PastFlow>
  /** Its next name is that of the oldest one: one that begins anew would pass all that were removed before. */
  readonly oldest: MapIterator<string>
}

/** Connections whose ends are remembered for one user, and for all: some milliseconds suffice for who waits for one. */
export const MAX_PAST_PER_USER = 2_048
export const MAX_PAST = 16_384

/** Remembers how the latest connections of each user ended. */
export class PastFlows {
  readonly #accounts = new Map<string, OfAccount>()
  // Nearly all ends are one after another of one user, in order: each would outlive the collections of young memory.
  #last: PastFlow | undefined
  #size = 0

  add(user: LocalUser, flowId: string, end: ConnectionEnd): void {
    const account = accountOf(user)
    const ofAccount = this.#of(account)
    const { flows } = ofAccount
    const name = nameFor(user, flowId)
    // The other host chose the name of the flow, perhaps again: what was cut stays cut.
    const known = flows.get(name)
    if (known?.end.state === 'cut' && sameUser(known.user, user)) return
    if (flows.delete(name)) this.#size -= 1
    flows.set(name, this.#shared(user, end))
    this.#size += 1
    if (flows.size > MAX_PAST_PER_USER) this.#forgetOldest(account, ofAccount)
    else if (this.#size > MAX_PAST) this.#forgetOldestOfLargest()
  }

  #shared({ uid, view }: LocalUser, end: ConnectionEnd): PastFlow {
    const last = this.#last
    if (last?.user.uid === uid && last.user.view === view && last.end === end) return last
    this.#last = { user: { uid, view }, end }
    return this.#last
  }

  of(user: LocalUser, flowId: string): ConnectionEnd | undefined {
    const past = this.#accounts.get(accountOf(user))?.flows.get(nameFor(user, flowId))
    return past !== undefined && sameUser(past.user, user) ? past.end : undefined
  }

  #of(account: string): OfAccount {
    const found = this.#accounts.get(account)
    if (found !== undefined) return found
    const flows = new Map<string, PastFlow>()
    const made = { flows, oldest: flows.keys() }
    this.#accounts.set(account, made)
    return made
  }

  #forgetOldest(account: string, { flows, oldest }: OfAccount): void {
    const { value } = oldest.next()
    if (value !== undefined && flows.delete(value)) this.#size -= 1
    if (flows.size === 0) this.#accounts.delete(account)
  }

  #forgetOldestOfLargest(): void {
    let largest: [string, OfAccount] | undefined
    for (const entry of this.#accounts) {
      if (largest === undefined || entry[1].flows.size > largest[1].flows.size) largest = entry
    }
    if (largest !== undefined) this.#forgetOldest(...largest)
  }
}

// Both ends of a connection may be on this host: of two containers, whose users share an account.
function nameFor({ view }: LocalUser, flowId: string): string {
  return view.isOfHost ? flowId : `${flowId} ${view.key}`
}
