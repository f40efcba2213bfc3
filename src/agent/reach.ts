import { connect } from 'node:net'
import { type Clock, raceAbort, within } from '../core/index.ts'
import { parseHostPort } from './workloads/index.ts'

const PROBE_TIMEOUT_MS = 2_000
const MAX_PROBED = 4

/**
 * Tries the ways to another host as a connection would: its data addresses, and the mesh. Says of each how it went.
 *
 * `mesh` asks the host's agent for a sign of life over the mesh.
 */
export async function probePath(
  target: { readonly dataAddresses: readonly string[]; readonly mesh: (signal: AbortSignal) => Promise<void> },
  clock: Clock,
  signal: AbortSignal
): Promise<{ ok: boolean; text: string }> {
  const ways = [
    ...target.dataAddresses.slice(0, MAX_PROBED).map(address => ({
      name: `direct ${address}`,
      attempt: (deadline: AbortSignal) => dial(address, deadline)
    })),
    { name: 'mesh', attempt: target.mesh }
  ]
  const results = await Promise.all(
    ways.map(async ({ name, attempt }) => {
      const begun = clock.monotonicMs()
      try {
        await within(PROBE_TIMEOUT_MS, [signal], attempt)
        return { ok: true, text: `${name} answers in ${(clock.monotonicMs() - begun).toFixed(1)} ms` }
      } catch (err) {
        return { ok: false, text: `${name} does not answer (${err instanceof Error ? err.message : String(err)})` }
      }
    })
  )
  return { ok: results.some(({ ok }) => ok), text: results.map(({ text }) => text).join('; ') }
}

async function dial(address: string, signal: AbortSignal): Promise<void> {
  const socket = connect(parseHostPort(address))
  const connected = Promise.withResolvers<void>()
  socket.once('connect', connected.resolve).on('error', connected.reject)
  try {
    await raceAbort(connected.promise, signal)
  } finally {
    socket.destroy()
  }
}
