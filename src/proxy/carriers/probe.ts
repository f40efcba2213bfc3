import { type Clock, WarrenError, within } from '../../core/index.ts'
import type { Carrier, Probe, ProbedAgent } from './carrier.ts'

const PROBE_TIMEOUT_MS = 2_000

/** Whether an agent can be reached now, and how each carrier fared. */
export interface Probed {
  readonly ok: boolean
  readonly text: string
}

/**
 * Tries the carriers to another agent as a connection would: all at once, and those that ask third members for help when
 * the others fail. The text begins with the path that would be taken, and says of each how it went.
 */
export async function probeCarriers(
  carriers: readonly Carrier[],
  agent: ProbedAgent,
  clock: Clock,
  signal: AbortSignal
): Promise<Probed> {
  const attempt = async (name: string, { address, run }: Probe) => {
    const begun = clock.monotonicMs()
    const at = address === undefined ? '' : ` ${address}`
    try {
      const path = await within(PROBE_TIMEOUT_MS, [signal], run)
      const took = `${(clock.monotonicMs() - begun).toFixed(1)} ms`
      return { path, text: `${path}${at} answers in ${took}` }
    } catch (err) {
      const why = err instanceof WarrenError ? err.reason : err instanceof Error ? err.message : String(err)
      // Somebody else may answer there.
      const how = address === undefined ? 'does not answer' : 'does not lead to it'
      return { text: `${name}${at} ${how} (${why})` }
    }
  }
  const attempts = (some: readonly Carrier[]) =>
    Promise.all(some.flatMap(({ name, probes }) => probes(agent).map(probe => attempt(name, probe))))
  const results = await attempts(carriers.filter(({ probesLast }) => !probesLast))
  const isReached = results.some(({ path }) => path !== undefined)
  if (!isReached) results.push(...(await attempts(carriers.filter(({ probesLast }) => probesLast))))
  const best = results.find(({ path }) => path !== undefined)
  const all = results.map(({ text }) => text).join('; ')
  return best === undefined ? { ok: false, text: all } : { ok: true, text: `${best.path}: ${all}` }
}
