/**
 * The view of a process on the host: the processes that it can name, and the files that it finds under a path.
 *
 * A uid means a user within one view. Root of a container is not root of the host, though both have uid 0.
 */
export interface ProcessView {
  /** Whether it sees the host as the agent does: same user ids, same process ids, same root directory. */
  readonly isOfHost: boolean
  /** Whether a process id from it means the same process to the agent. */
  readonly sharesPids: boolean
  /** Equal for processes that see the same; undefined for one that could not be examined, which is equal to none. */
  readonly key: string | undefined
  /** Why it is not of the host, as the words after "the process"; empty if it is. */
  readonly whyNot: string
}

/** The uid that the kernel named, and the view in which it has a meaning. */
export interface LocalUser {
  readonly uid: number
  readonly view: ProcessView
}

/** The view of every process on a system that has only one. */
export const HOST_VIEW: ProcessView = Object.freeze({ isOfHost: true, sharesPids: true, key: 'host', whyNot: '' })

/** A view that is equal to none, not even to itself. */
export function unknownView(whyNot: string): ProcessView {
  return Object.freeze({ isOfHost: false, sharesPids: false, key: undefined, whyNot })
}

/** Whether both are the same user: the same uid in the same view. A view that could not be read belongs to nobody. */
export function sameUser(one: LocalUser, other: LocalUser): boolean {
  return one.uid === other.uid && one.view.key !== undefined && one.view.key === other.view.key
}

/**
 * The account on which something is counted. All views but that of the host share one account for each uid, so that nobody
 * gets another one by a new root directory, and none of them uses up the share of the user of the host.
 */
export function accountOf({ uid, view }: LocalUser): string {
  return view.isOfHost ? String(uid) : `${uid} outside`
}
