import { readFileSync } from 'node:fs'
import type { Clock, Logger } from '../../core/index.ts'
import { type Allocator, systemAllocator } from './allocator.ts'
import { codePages } from './code-pages.ts'
import { GiveBack, ownBytes } from './give-back.ts'
import { Rest } from './rest.ts'

/** Where flows are counted. */
interface Totals {
  totals(): {
    readonly flows: { readonly bytes: Readonly<Record<'tcp' | 'udp', { readonly in: number; readonly out: number }>> }
  }
}

/** With more free memory than this, `malloc_trim` would take too long at once; `GiveBack` takes it in pieces. */
const TRIMMED_BYTES = 64 * 1024 * 1024

/**
 * Gives memory that flows and the start have left back to the system, where that is possible, until the signal. Never rejects.
 *
 * `collect` collects the whole heap, and returns false if it cannot: then that is left to V8.
 */
export async function giveBackMemory(
  proxy: Totals,
  collect: () => boolean,
  options: { readonly log: Logger; readonly clock: Clock; readonly signal: AbortSignal }
): Promise<void> {
  const allocator = systemAllocator()
  const movedBytes = (): number => {
    const { tcp, udp } = proxy.totals().flows.bytes
    return tcp.in + tcp.out + udp.in + udp.out
  }
  const release = (): void => {
    if (allocator !== undefined) releaseUnused(allocator)
  }
  await Promise.all([
    new Rest({ ...options, collect, release, movedBytes }).run(),
    allocator === undefined ? undefined : new GiveBack({ ...options, allocator, movedBytes }).run()
  ])
}

function releaseUnused(allocator: Allocator): void {
  // Half of the pages of code that are present were used by the start alone. What is needed again is still in the page cache.
  for (const { address, bytes } of codePages(readFileSync('/proc/self/smaps', 'latin1')))
    allocator.release(address, bytes)
  const { heapTotal, external } = process.memoryUsage()
  if ((ownBytes() ?? Number.POSITIVE_INFINITY) - heapTotal - external < TRIMMED_BYTES) allocator.trim()
}
