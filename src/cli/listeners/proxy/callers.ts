import type { IsBeside, UidOfCaller, UidOfSender } from '../../../attest/index.ts'
import { ErrorCode, WarrenError } from '../../../core/index.ts'
import type { Endpoint } from '../../../listeners/index.ts'

export type { UidOfSender }

/** How the user of a client is asked of the kernel. Throws UNSUPPORTED for a port on a system that cannot be asked. */
export async function callersAt(kind: Endpoint['kind']): Promise<UidOfCaller> {
  const { callerOfLoopback, callerOfUnix } = await import('../../../attest/index.ts')
  return kind === 'unix' ? callerOfUnix() : callerOfLoopback()
}

/** How the user who sends datagrams is asked of the kernel; undefined on a system that cannot be asked. */
export async function sendersHere(): Promise<UidOfSender | undefined> {
  const { senderOfLoopback } = await import('../../../attest/index.ts')
  try {
    return senderOfLoopback()
  } catch (err) {
    if (WarrenError.is(err, ErrorCode.Unsupported)) return undefined
    throw err
  }
}

/** How processes beside a command are told from others. */
export async function besides(): Promise<IsBeside> {
  const { callersBeside } = await import('../../../attest/index.ts')
  return callersBeside()
}

/** The uid of this process. */
export function ownUid(): number {
  return process.getuid?.() ?? 0
}
