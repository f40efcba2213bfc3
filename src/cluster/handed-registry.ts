import { type Clock, hostMonotonicMs, type Left, type ProcessHandover } from '../core/index.ts'
import { type HandedState, handedStates, type RegistryState } from '../registry/index.ts'

/** The name under which the registry is left to the next process. */
const REGISTRY = 'registry'

interface LeftStates {
  /** By the monotonic clock of the host, which both processes share. */
  readonly atMs: number
  readonly agesMs: readonly number[]
}

/** Leaves to the next process what this one knows of other hosts at the handover; of those with flows in any case. */
export function leaveRegistry(
  handover: ProcessHandover,
  state: RegistryState,
  clock: Clock,
  hostsOfFlows: () => ReadonlySet<string>
): void {
  handover.leave(REGISTRY, () => {
    const now = { wallMs: clock.wallMs(), monotonicMs: clock.monotonicMs() }
    const states = handedStates(state, hostsOfFlows(), now)
    const data: LeftStates = { atMs: hostMonotonicMs(), agesMs: states.map(({ ageMs }) => ageMs) }
    return { data, bytes: states.map(({ bytes }) => Buffer.from(bytes)) }
  })
}

/** What the process before knew of other hosts. Each state is signed by its owner, and nothing of it is verified yet. */
export function handedRegistry(handover: ProcessHandover): HandedState[] {
  const { data, bytes = [] }: Left = handover.take(REGISTRY) ?? {}
  if (data === undefined) return []
  const { atMs, agesMs } = data as LeftStates
  const sinceMs = hostMonotonicMs() - atMs
  return bytes.map((state, at) => ({ bytes: state, ageMs: (agesMs[at] ?? 0) + sinceMs }))
}
