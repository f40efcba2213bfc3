import type { UidOfCaller } from '../../../attest/index.ts'
import type { Endpoint } from '../../../listeners/index.ts'

/** How the user of a client is asked of the kernel. Throws UNSUPPORTED for a port on a system that cannot be asked. */
export async function callersAt(kind: Endpoint['kind']): Promise<UidOfCaller> {
  const { callerOfLoopback, callerOfUnix } = await import('../../../attest/index.ts')
  return kind === 'unix' ? callerOfUnix() : callerOfLoopback()
}

/** The uid of this process. */
export function ownUid(): number {
  return process.getuid?.() ?? 0
}
