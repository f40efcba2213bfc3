import type { Clock, Logger } from '../../core/index.ts'
import { systemAllocator } from './allocator.ts'
import { GiveBack } from './give-back.ts'

/** Where flows are counted. */
interface Totals {
  totals(): {
    readonly flows: { readonly bytes: Readonly<Record<'tcp' | 'udp', { readonly in: number; readonly out: number }>> }
  }
}

/** Gives memory that flows have left back to the system, where that is possible, until the signal. Never rejects. */
export async function giveBackMemory(
  proxy: Totals,
  options: { readonly log: Logger; readonly clock: Clock; readonly signal: AbortSignal }
): Promise<void> {
  const allocator = systemAllocator()
  if (allocator === undefined) return
  const movedBytes = (): number => {
    const { tcp, udp } = proxy.totals().flows.bytes
    return tcp.in + tcp.out + udp.in + udp.out
  }
  await new GiveBack({ ...options, allocator, movedBytes }).run()
}
