import type {
  CertificatesView,
  DraftView,
  EventsView,
  ExplainView,
  FlowsView,
  MatrixView,
  MeshView,
  RefusalsView
} from '../shapes.ts'
import { type Route, routeOf } from './route.ts'

/** Everything that the pages show. */
export interface State {
  readonly route: Route
  readonly session: 'opening' | 'open' | 'closed'
  /** Why there is no session. */
  readonly closedReason: string
  /** What goes wrong now, for a person, by the part of the pages that it concerns. */
  readonly failures: Readonly<Record<string, string>>
  /** What was changed last, for a person; empty if nothing was. */
  readonly done: string
  /** Read out by a screen reader when it changes. */
  readonly notice: string
  readonly search: string
  readonly mesh: MeshView | undefined
  readonly flows: FlowsView | undefined
  /** Bytes in a second by flow. */
  readonly rates: ReadonlyMap<string, number>
  readonly matrix: MatrixView | undefined
  /** "row,column" of the cell whose rule is shown. */
  readonly cell: readonly [number, number] | undefined
  readonly refusals: RefusalsView | undefined
  readonly events: EventsView | undefined
  readonly certificates: CertificatesView | undefined
  readonly explanation: ExplainView | undefined
  /** The hosts are asked for an explanation. */
  readonly isExplaining: boolean
  readonly draft: DraftView | undefined
}

let state: State = {
  route: routeOf(location.hash),
  session: 'opening',
  closedReason: '',
  failures: {},
  done: '',
  notice: '',
  search: '',
  mesh: undefined,
  flows: undefined,
  rates: new Map(),
  matrix: undefined,
  cell: undefined,
  refusals: undefined,
  events: undefined,
  certificates: undefined,
  explanation: undefined,
  isExplaining: false,
  draft: undefined
}
let onChange: (state: State) => void = () => {}
let isScheduled = false

export function current(): State {
  return state
}

/** Changes parts of the state; the pages are drawn again before the next frame. */
export function update(changes: Partial<State>): void {
  state = { ...state, ...changes }
  if (isScheduled) return
  isScheduled = true
  requestAnimationFrame(() => {
    isScheduled = false
    onChange(state)
  })
}

/** `listener` draws the pages. */
export function onUpdate(listener: (state: State) => void): void {
  onChange = listener
}
