import type { KeyObject } from 'node:crypto'
import { ErrorCode, type Logger, WarrenError } from '../core/index.ts'
import type { Revocation } from '../identity/index.ts'
import type { Bundle, Content } from '../policy/index.ts'

export interface RestartDeps {
  /** Names of the members that may still say which policy is in force: all that are there but those admitted since the loss. */
  readonly informed: () => readonly string[]
  /** The newest version that any member announces; zero if none does. */
  readonly highestVersion: () => bigint
  /** Called when the new policy is on disk and in force: from now on it is the one to be changed. */
  readonly onDone: () => void
}

/** What `open` returns. Throws STATE_UNUSABLE if it throws: the policy of the state directory cannot be read. */
export function orDamaged(open: () => Bundle): Bundle {
  try {
    return open()
  } catch (cause) {
    throw new WarrenError(ErrorCode.StateUnusable, 'the stored policy is damaged', {
      cause,
      hint: 'Restore the state directory from a backup, or empty it and join again with a new token.'
    })
  }
}

/** That nothing is signed while the policy is lost, with both ways out. */
export function lostPolicy(): WarrenError {
  return new WarrenError(
    ErrorCode.NotReady,
    'the policy of this host was lost, and no other host has said yet which one is in force',
    {
      hint: 'Connect a member that was admitted before the loss (`warren members`); later ones do not know. If none has it any more: warren policy restart.'
    }
  )
}

/** The key of the root of policy. Throws NOT_ADMIN where it is not. */
export function requireRootKey(adminKey: KeyObject | undefined): KeyObject {
  if (adminKey !== undefined) return adminKey
  throw new WarrenError(ErrorCode.NotAdmin, 'this host does not hold the admin key', {
    hint: 'Run the command on the host that founded the trust domain.'
  })
}

/** Refuses to begin a policy anew that is not lost, or that a member has. Throws INVALID_ARGUMENT or NOT_READY. */
export function requireRestartable(isLost: boolean, restart: RestartDeps | undefined): RestartDeps {
  if (!isLost || restart === undefined) {
    throw new WarrenError(ErrorCode.InvalidArgument, 'the policy of this host is not lost', {
      hint: '`warren policy show` lists it, and `warren policy remove` takes a rule back.'
    })
  }
  const informed = restart.informed()
  if (informed.length === 0) return restart
  throw new WarrenError(
    ErrorCode.NotReady,
    `${informed.slice(0, 8).join(', ')} may know the policy in force, and has not answered yet`,
    {
      hint: 'Wait until it has (`warren status` shows a policy version then), or stop or evict what must not answer; a host that is gone counts until its lease ends.'
    }
  )
}

/**
 * The content of a policy that begins anew, and its version: milliseconds of the clock, since a policy that grows by one with
 * each command never comes near it. So hosts that still have the former one take this one as newer.
 */
export function restartedContent(nowMs: number, highestVersion: bigint): Content & { readonly atLeast: bigint } {
  const byClock = BigInt(nowMs)
  const atLeast = byClock > highestVersion ? byClock : highestVersion + 1n
  return { rules: [], entries: [], strict: false, revocations: [], invariants: [], atLeast }
}

/** Says which revocations no longer count because the admin began the policy anew: nobody took them back one by one. */
export function warnOfForgotten(former: Bundle, next: Bundle, log: Logger): void {
  if (!next.isBeginning) return
  const kept = new Set(next.revocations.map(({ id }) => id))
  const forgotten = former.revocations.filter(({ id }) => !kept.has(id))
  log.error('the admin began the policy anew: these revocations of the former one no longer count', {
    policyVersion: String(next.version),
    revocations: forgotten.map(subjectOf)
  })
}

function subjectOf({ id, machine, peers, keys, pattern }: Revocation): string {
  const what = machine ?? pattern?.text ?? peers[0] ?? (keys[0] === undefined ? '-' : `sha256:${keys[0]}`)
  return `${id} ${what}`
}
