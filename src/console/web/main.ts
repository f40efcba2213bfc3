import { AskError, endSession, hasKey, openSession } from './api.ts'
import { forget, loadFlows, loadMesh, loadMeshFlows, loadPage, shown } from './load.ts'
import { frame, titleOf } from './pages/frame.ts'
import { render } from './preact.ts'
import { routeOf } from './route.ts'
import { current, onUpdate, type State, update } from './state.ts'

const FLOWS_MS = 2_000
const MESH_MS = 5_000
/** A secret of a link; the pages begin with "/". */
const LINK = /^#([\w-]{43})$/

const root = document.createElement('div')
document.querySelector('#console')?.replaceChildren(root)

let drawn: State | undefined
onUpdate(state => {
  render(frame(state, end, Date.now()), root)
  document.title = `${titleOf(state)} – warren console`
  // A reader of the screen begins at the heading of the new page.
  const isAnother = drawn?.session === 'open' && titleOf(drawn) !== titleOf(state)
  if (isAnother) document.querySelector<HTMLElement>('h1')?.focus()
  drawn = state
})

addEventListener('hashchange', () => {
  const link = LINK.exec(location.hash)?.[1]
  if (link !== undefined) return void begin(link)
  update({
    route: routeOf(location.hash),
    failures: {},
    done: '',
    draft: undefined,
    explanation: undefined,
    cell: undefined
  })
  void shown('page', () => loadPage(current().route))
  void shown('mesh-flows', () => loadMeshFlows(current().route))
})

await begin(LINK.exec(location.hash)?.[1])
repeat(MESH_MS, async () => {
  await shown('mesh', loadMesh)
  const { route, matrix, mesh } = current()
  // A matrix of many rules takes its time.
  const isCurrent = route.page === 'policy' && matrix?.version === mesh?.self.policyVersion
  if (!isCurrent) await shown('page', () => loadPage(route))
  await shown('mesh-flows', () => loadMeshFlows(route))
})
repeat(FLOWS_MS, () => shown('flows', loadFlows))

async function begin(link: string | undefined): Promise<void> {
  // It opens nothing a second time, and does not stay in the history.
  if (link !== undefined) history.replaceState(null, '', '#/map')
  update({ route: routeOf(location.hash), session: 'opening' })
  try {
    if (link !== undefined) await openSession(link)
    else if (!hasKey()) return update({ session: 'closed', closedReason: 'This browser has no session.' })
  } catch (err) {
    const why = err instanceof AskError ? `${err.message}.` : 'The console does not answer.'
    return update({ session: 'closed', closedReason: why })
  }
  update({ session: 'open' })
  await shown('mesh', loadMesh)
  await shown('flows', loadFlows)
  await shown('page', () => loadPage(current().route))
  await shown('mesh-flows', () => loadMeshFlows(current().route))
}

function end(): void {
  void shown('end', async () => {
    await endSession()
    forget()
    update({ session: 'closed', closedReason: 'You have ended this session.', mesh: undefined, flows: undefined })
  })
}

/** Calls again and again, not while the last call runs, nor while nobody looks. */
function repeat(everyMs: number, call: () => Promise<void>): void {
  const next = async (): Promise<void> => {
    if (current().session === 'open' && document.visibilityState === 'visible') await call()
    setTimeout(() => void next(), everyMs)
  }
  setTimeout(() => void next(), everyMs)
}
