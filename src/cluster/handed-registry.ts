import { type Clock, hostMonotonicMs, type Left, type ProcessHandover } from '../core/index.ts'
import { type HandedState, handedStates, type RegistryState } from '../registry/index.ts'
import type { RegistryService } from './registry-service.ts'

/** The name under which the registry is left to the next process. */
const REGISTRY = 'registry'

interface LeftStates {
  /** By the monotonic clock of the host, which both processes share. */
  readonly atMs: number
  readonly agesMs: readonly number[]
}

/** The texts of its two addresses. */
interface Ends {
  readonly source: string
  readonly destination: string
}

/** Takes in what the process before knew of other hosts, and leaves the same to the next one: first of hosts with flows. */
export function handOnRegistry(
  handover: ProcessHandover | undefined,
  registry: Pick<RegistryService, 'state' | 'adopt'>,
  clock: Clock,
  flows: () => readonly Ends[]
): void {
  if (handover === undefined) return
  leaveRegistry(handover, registry.state, clock, () => machinesOf(flows()))
  registry.adopt(handedRegistry(handover))
}

function machinesOf(flows: readonly Ends[]): ReadonlySet<string> {
  const texts = flows.flatMap(({ source, destination }) => [source, destination])
  return new Set(texts.map(text => text.split('.')[4] ?? ''))
}

function leaveRegistry(
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
function handedRegistry(handover: ProcessHandover): HandedState[] {
  const { data, bytes = [] }: Left = handover.take(REGISTRY) ?? {}
  if (data === undefined) return []
  const { atMs, agesMs } = data as LeftStates
  const sinceMs = hostMonotonicMs() - atMs
  return bytes.map((state, at) => ({ bytes: state, ageMs: (agesMs[at] ?? 0) + sinceMs }))
}
