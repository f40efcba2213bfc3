import type {
  AppliedView,
  CertificatesView,
  DraftView,
  EventsView,
  ExplainView,
  FlowsView,
  FlowView,
  MatrixView,
  MeshView,
  RefusalsView
} from '../shapes.ts'
import { AskError, ask, post } from './api.ts'
import { countText } from './format.ts'
import type { Route } from './route.ts'
import { current, type State, update } from './state.ts'

/** By path: the last question, and the version of the answer that the page has. */
const answers = new Map<string, { readonly asked: string; readonly version: string }>()

/** The flows of this host, which is asked often, and of all hosts, which are not. */
const seen: { here?: FlowsView; everywhere?: FlowsView } = {}
const rates: { here: State['rates']; everywhere: State['rates'] } = { here: new Map(), everywhere: new Map() }

/** Forgets all answers, at the end of a session. */
export function forget(): void {
  answers.clear()
  delete seen.here
  delete seen.everywhere
}

/** Runs `call` for a part of the pages, and shows its failure until the part succeeds; without a session the pages close. */
export async function shown(part: string, call: () => Promise<void>): Promise<void> {
  const { [part]: before, ...others } = current().failures
  try {
    await call()
    if (before !== undefined) update({ failures: others })
  } catch (err) {
    if (err instanceof AskError && err.status === 401) {
      update({ session: 'closed', closedReason: 'This session has ended.' })
    } else {
      update({ failures: { ...others, [part]: failureText(err) } })
    }
  }
}

function failureText(err: unknown): string {
  if (!(err instanceof AskError)) return 'The console does not answer. Does `warren console` still run?'
  return err.hint === '' ? `${err.message}.` : `${err.message}. ${err.hint}`
}

export async function loadMesh(): Promise<void> {
  await changed<MeshView>('/api/mesh', {}, mesh => {
    const notice = `${countText(mesh.hosts.length, 'host')}, ${countText(mesh.workloads.length, 'workload')}`
    update({ mesh, notice })
  })
}

export async function loadFlows(): Promise<void> {
  const { value } = await ask<FlowsView>('/api/flows')
  if (value !== undefined) show('here', value)
}

/** The flows of all hosts, where a page shows them. */
export async function loadMeshFlows({ page }: Route): Promise<void> {
  if (page === 'map' || page === 'host' || page === 'workload') {
    await changed<FlowsView>('/api/mesh-flows', {}, flows => show('everywhere', flows))
  }
}

function show(where: 'here' | 'everywhere', after: FlowsView): void {
  const before = seen[where]
  seen[where] = after
  // An answer of which more hosts come has the same time, and says nothing of rates.
  if (before?.atMs !== after.atMs) rates[where] = ratesOf(before, after)
  const { here, everywhere } = seen
  if (here === undefined) return
  const own = new Set(here.flows.map(nameOfFlow))
  const others = (everywhere?.flows ?? []).filter(flow => !own.has(nameOfFlow(flow)))
  const hostsOf = new Map((everywhere?.flows ?? []).map(flow => [nameOfFlow(flow), flow.hosts]))
  const flows = here.flows.map(flow => ({ ...flow, hosts: hostsOf.get(nameOfFlow(flow)) ?? flow.hosts }))
  update({
    flows: {
      atMs: here.atMs,
      flows: [...flows, ...others],
      leftOut: here.leftOut + (everywhere?.leftOut ?? 0),
      ...(everywhere?.asked !== undefined && { asked: everywhere.asked })
    },
    rates: new Map([...rates.everywhere, ...rates.here])
  })
}

/** A host may give its flow the id of another one. */
function nameOfFlow({ id, source, destination }: FlowView): string {
  return `${id} ${source} ${destination}`
}

/** Loads what a page shows besides hosts, workloads and flows. */
export async function loadPage({ page, query }: Route): Promise<void> {
  if (page === 'policy') {
    const [sources, destinations] = [query.get('sources') ?? '', query.get('destinations') ?? '']
    const asked = { sources, destinations, protocol: query.get('protocol') ?? 'tcp' }
    await changed<MatrixView>('/api/matrix', asked, matrix => update({ matrix }))
  }
  if (page === 'refused' || page === 'workload') {
    await changed<RefusalsView>('/api/refusals', {}, refusals => update({ refusals }))
  }
  if (page === 'events') {
    const asked = { hours: query.get('hours') ?? '1', name: query.get('name') ?? '' }
    await changed<EventsView>('/api/events', asked, events => update({ events }))
  }
  if (page === 'certificates') {
    await changed<CertificatesView>('/api/certificates', {}, certificates => update({ certificates }))
  }
}

const VERDICTS: Readonly<Record<ExplainView['verdict'], string>> = {
  works: 'It works.',
  fails: 'It does not work.',
  undecided: 'It cannot be said whether it works.'
}

export function verdictText({ verdict }: Pick<ExplainView, 'verdict'>): string {
  return VERDICTS[verdict]
}

export async function loadExplanation(source: string, destination: string, protocol: string): Promise<void> {
  update({ explanation: undefined, isExplaining: true })
  try {
    const explanation = await post<ExplainView>('/api/explain', { source, destination, protocol })
    update({ explanation, notice: verdictText(explanation) })
  } finally {
    update({ isExplaining: false })
  }
}

export async function makeDraft(fields: Readonly<Record<string, string>>): Promise<void> {
  const draft = await post<DraftView>('/api/draft', fields)
  const cuts =
    draft.cuts.length === 0
      ? 'No flow of this host would be cut.'
      : `${countText(draft.cuts.length, 'flow')} would be cut.`
  update({ draft, notice: `Dry run: nothing was changed. ${cuts}` })
}

export async function applyDraft(id: string): Promise<void> {
  const { rule, policyVersion } = await post<AppliedView>('/api/apply', { id })
  update({ draft: undefined, done: `Rule ${rule} is in force, as policy version ${policyVersion}.` })
}

async function changed<T>(
  path: string,
  query: Readonly<Record<string, string>>,
  take: (value: T) => void
): Promise<void> {
  const asked = `${path}?${new URLSearchParams(query)}`
  const last = answers.get(path)
  const { version, value } = await ask<T>(path, last?.asked === asked ? { ...query, known: last.version } : query)
  answers.set(path, { asked, version })
  if (value !== undefined) take(value)
}

function ratesOf(before: FlowsView | undefined, after: FlowsView): State['rates'] {
  const rates = new Map<string, number>()
  if (before === undefined) return rates
  const seconds = Math.max(0.1, (after.atMs - before.atMs) / 1_000)
  const known = new Map(before.flows.map(flow => [flow.id, flow.bytesIn + flow.bytesOut]))
  for (const { id, bytesIn, bytesOut } of after.flows) {
    const bytes = known.get(id)
    if (bytes !== undefined) rates.set(id, Math.max(0, bytesIn + bytesOut - bytes) / seconds)
  }
  return rates
}
