import { type Clock, WarrenError, within } from '../../core/index.ts'
import type { Carrier, Probe, ProbedAgent } from './carrier.ts'

const PROBE_TIMEOUT_MS = 2_000

/** Whether an agent can be reached now, and how each carrier fared. */
export interface Probed {
  readonly ok: boolean
  readonly text: string
}

interface Attempt {
  readonly rank: number
  /** Undefined if it failed. */
  readonly path?: string
  readonly text: string
}

/**
 * Tries the carriers to another agent as a connection would: all at once, and those that ask other agents for help when
 * that may be of use. The text begins with the path that would be taken, and says of each how it went.
 */
export async function probeCarriers(
  carriers: readonly Carrier[],
  agent: ProbedAgent,
  clock: Clock,
  signal: AbortSignal
): Promise<Probed> {
  const attempt = async ({ name, rank }: Carrier, { address, run }: Probe): Promise<Attempt> => {
    const begun = clock.monotonicMs()
    const at = address === undefined ? '' : ` ${address}`
    try {
      const path = await within(PROBE_TIMEOUT_MS, [signal], run)
      const took = `${(clock.monotonicMs() - begun).toFixed(1)} ms`
      return { rank, path, text: `${path}${at} answers in ${took}` }
    } catch (err) {
      const why = err instanceof WarrenError ? err.reason : err instanceof Error ? err.message : String(err)
      // Somebody else may answer there.
      const how = address === undefined ? 'does not answer' : 'does not lead to it'
      return { rank, text: `${name}${at} ${how} (${why})` }
    }
  }
  const results: Attempt[] = []
  const tryThose = async (when: Carrier['probedIf'], isOfUse: (carrier: Carrier) => boolean): Promise<void> => {
    const some = carriers.filter(carrier => carrier.probedIf === when && isOfUse(carrier))
    const made = some.flatMap(carrier => carrier.probes(agent).map(probe => attempt(carrier, probe)))
    results.push(...(await Promise.all(made)))
  }
  const reaches = (isMeant: (rank: number) => boolean): boolean =>
    results.some(({ rank, path }) => path !== undefined && isMeant(rank))
  await tryThose('always', () => true)
  await tryThose(
    'only worse ones reach',
    carrier => !reaches(rank => rank < carrier.rank) && reaches(rank => rank > carrier.rank)
  )
  const isAlone = !reaches(() => true)
  await Promise.all([
    tryThose('no better one reaches', carrier => !reaches(rank => rank < carrier.rank)),
    tryThose('none other reaches', () => isAlone)
  ])
  // Stable: the addresses of a carrier stay in their order.
  results.sort((one, other) => one.rank - other.rank)
  const best = results.find(({ path }) => path !== undefined)
  const all = results.map(({ text }) => text).join('; ')
  return best === undefined ? { ok: false, text: all } : { ok: true, text: `${best.path}: ${all}` }
}
