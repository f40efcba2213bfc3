import { connect } from 'node:net'
import { type Clock, parseHostPort, raceAbort, within } from '../core/index.ts'

const PROBE_TIMEOUT_MS = 2_000
const MAX_PROBED = 4

export interface Reach {
  readonly dataAddresses: readonly string[]
  /** Asks the host's agent for a sign of life over the mesh. */
  readonly mesh: (signal: AbortSignal) => Promise<void>
  /** The machine of a member that reaches the host, or rejects. */
  readonly helper: (signal: AbortSignal) => Promise<string>
}

/**
 * Tries the ways to another host as a connection would: its data addresses, the mesh, and a relay when both fail. Begins
 * with the one that would be taken (direct, libp2p, relay via MACHINE), and says of each how it went.
 */
export async function probePath(
  { dataAddresses, mesh, helper }: Reach,
  clock: Clock,
  signal: AbortSignal
): Promise<{ ok: boolean; text: string }> {
  const attempt = async (name: string, path: string, run: (limit: AbortSignal) => Promise<string>) => {
    const begun = clock.monotonicMs()
    try {
      const found = await within(PROBE_TIMEOUT_MS, [signal], limit => raceAbort(run(limit), limit))
      const took = `${(clock.monotonicMs() - begun).toFixed(1)} ms`
      return { path: path + found, ok: true, text: `${name}${found} answers in ${took}` }
    } catch (err) {
      return {
        path,
        ok: false,
        text: `${name.replace(/ via $/, '')} does not answer (${err instanceof Error ? err.message : String(err)})`
      }
    }
  }
  const results = await Promise.all([
    ...dataAddresses
      .slice(0, MAX_PROBED)
      .map(address => attempt(`direct ${address}`, 'direct', limit => dial(address, limit).then(nothing))),
    attempt('mesh', 'mesh', limit => mesh(limit).then(nothing))
  ])
  if (!results.some(({ ok }) => ok)) results.push(await attempt('relay via ', 'relay via ', helper))
  const best = results.find(({ ok }) => ok)
  const all = results.map(({ text }) => text).join('; ')
  return best === undefined ? { ok: false, text: all } : { ok: true, text: `${best.path}: ${all}` }
}

const nothing = (): string => ''

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
