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

/** Connections whose ends are remembered for one user, and for all: some milliseconds suffice for who waits for one. */
export const MAX_PAST_PER_USER = 2_048
export const MAX_PAST = 16_384

/** Remembers how the latest connections of each user ended. */
export class PastFlows {
  readonly #ofUsers = new Map<string, Map<string, PastFlow>>()
  // Nearly all ends are one after another of one user, in order: each would outlive the collections of young memory.
  #last: PastFlow | undefined
  #size = 0

  add(user: LocalUser, flowId: string, end: ConnectionEnd): void {
    const account = accountOf(user)
    const ofUser = this.#ofUsers.get(account) ?? new Map<string, PastFlow>()
    this.#ofUsers.set(account, ofUser)
    // The other host chose the name of the flow, perhaps again: what was cut stays cut.
    const known = ofUser.get(flowId)
    if (known?.end.state === 'cut' && sameUser(known.user, user)) return
    if (ofUser.delete(flowId)) this.#size -= 1
    ofUser.set(flowId, this.#shared(user, end))
    this.#size += 1
    if (ofUser.size > MAX_PAST_PER_USER) this.#forgetOldest(account, ofUser)
    else if (this.#size > MAX_PAST) this.#forgetOldest(...this.#largest())
  }

  #shared({ uid, view }: LocalUser, end: ConnectionEnd): PastFlow {
    const last = this.#last
    if (last?.user.uid === uid && last.user.view === view && last.end === end) return last
    this.#last = { user: { uid, view }, end }
    return this.#last
  }

  of(user: LocalUser, flowId: string): ConnectionEnd | undefined {
    const past = this.#ofUsers.get(accountOf(user))?.get(flowId)
    return past !== undefined && sameUser(past.user, user) ? past.end : undefined
  }

  #forgetOldest(account: string, ofUser: Map<string, PastFlow>): void {
    const [oldest] = ofUser.keys()
    if (oldest !== undefined && ofUser.delete(oldest)) this.#size -= 1
    if (ofUser.size === 0) this.#ofUsers.delete(account)
  }

  #largest(): [string, Map<string, PastFlow>] {
    let largest: [string, Map<string, PastFlow>] | undefined
    for (const entry of this.#ofUsers) if (largest === undefined || entry[1].size > largest[1].size) largest = entry
    return largest ?? ['', new Map()]
  }
}
