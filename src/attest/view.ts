/**
 * From where a process sees the host: which processes it can name, and which files it finds under a path.
 *
 * A uid means a user within one view. Root of a container is not root of the host, though both have uid 0.
 */
export interface ProcessView {
  /** Whether it sees the host as the agent does: same user ids, same process ids, same root directory. */
  readonly isOfHost: boolean
  /** Whether a process id of its mouth means the process that it means to the agent. */
  readonly sharesPids: boolean
  /** Equal for processes that see the same; undefined for one that could not be examined, which is equal to none. */
  readonly key: string | undefined
  /** Why it is not of the host, as what follows "the process"; empty if it is. */
  readonly whyNot: string
}

/** The uid that the kernel named, and where it means something. */
export interface LocalUser {
  readonly uid: number
  readonly view: ProcessView
}

/** The view that every process has on a system that knows no other. */
export const HOST_VIEW: ProcessView = Object.freeze({ isOfHost: true, sharesPids: true, key: 'host', whyNot: '' })

/** A view that is equal to none, its own least of all. */
export function unknownView(whyNot: string): ProcessView {
  return Object.freeze({ isOfHost: false, sharesPids: false, key: undefined, whyNot })
}

/** Whether both are the same user: the same uid in the same view. What could not be read is nobody's. */
export function sameUser(one: LocalUser, other: LocalUser): boolean {
  return one.uid === other.uid && one.view.key !== undefined && one.view.key === other.view.key
}

/**
 * On whose account something is counted. All views but that of the host share one account for each uid, so that nobody
 * gets another one by changing the root directory, and none of them uses up what the user of the host may have.
 */
export function accountOf({ uid, view }: LocalUser): string {
  return view.isOfHost ? String(uid) : `${uid} outside`
}
