import type { FlowsView, MeshView } from '../../shapes.ts'
import { linkTo } from '../route.ts'
import { current, type State } from '../state.ts'
import { draw, type Edge, MAX_EDGES } from './draw.ts'
import { hitAt, type Layout, layoutOf } from './layout.ts'
import { type Theme, themeOf } from './theme.ts'
import { centred, fitted, panned, pointAt, type Viewport, zoomed } from './viewport.ts'

/** A pointer that moved less has clicked. */
const CLICK_PX = 5
const KEY_STEP_PX = 80
const KEYS: Readonly<Record<string, readonly [dx: number, dy: number]>> = {
  ArrowLeft: [KEY_STEP_PX, 0],
  ArrowRight: [-KEY_STEP_PX, 0],
  ArrowUp: [0, KEY_STEP_PX],
  ArrowDown: [0, -KEY_STEP_PX]
}
const ZOOM = 1.25

/** The map on its canvas: draws at most once in a frame, and only after a change. */
export class MapCanvas {
  readonly #canvas: HTMLCanvasElement
  readonly #context: CanvasRenderingContext2D
  readonly #undo = new AbortController()
  readonly #resized: ResizeObserver
  readonly #onPoint: (text: string) => void
  #mesh: MeshView | undefined
  #flows: FlowsView | undefined
  #searched = ''
  #found = ''
  #layout: Layout = layoutOf([], [])
  #edges: readonly Edge[] = []
  #theme: Theme = themeOf()
  #view: Viewport | undefined
  #isScheduled = false
  #drag: { x: number; y: number; movedPx: number } | undefined

  /** `onPoint` gets in words what is under the pointer, or in the middle for the keyboard. */
  constructor(canvas: HTMLCanvasElement, onPoint: (text: string) => void) {
    const context = canvas.getContext('2d')
    if (context === null) throw new Error('this browser has no canvas')
    this.#canvas = canvas
    this.#context = context
    this.#onPoint = onPoint
    const { signal } = this.#undo
    canvas.addEventListener('pointerdown', event => this.#onDown(event), { signal })
    canvas.addEventListener('pointermove', event => this.#onMove(event), { signal })
    canvas.addEventListener('pointerup', event => this.#onUp(event), { signal })
    canvas.addEventListener('wheel', event => this.#onWheel(event), { signal, passive: false })
    canvas.addEventListener('keydown', event => this.#onKey(event), { signal })
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#onTheme(), { signal })
    this.#resized = new ResizeObserver(() => this.#resize())
    this.#resized.observe(canvas)
  }

  /** Shows another state. */
  show({ mesh, flows, rates, search }: State): void {
    const isNew = this.#mesh === undefined
    if (mesh !== this.#mesh && mesh !== undefined) {
      this.#mesh = mesh
      this.#layout = layoutOf(mesh.hosts, mesh.workloads)
      this.#flows = undefined
      // What was searched before its host was known is found once it is.
      if (this.#found === '') this.#searched = ''
      if (isNew) this.#fit()
    }
    if (flows !== this.#flows && flows !== undefined) {
      this.#flows = flows
      this.#edges = edgesOf(flows, rates, this.#layout)
    }
    this.#find(search)
    this.#schedule()
  }

  stop(): void {
    this.#undo.abort()
    this.#resized.disconnect()
  }

  #find(search: string): void {
    if (search === this.#searched) return
    this.#searched = search
    const known = [...this.#layout.places.keys()]
    const found =
      search === '' ? '' : (known.find(name => name === search) ?? known.find(name => name.includes(search)) ?? '')
    this.#found = found
    const place = this.#layout.places.get(found)
    if (place !== undefined && this.#view !== undefined) this.#view = centred(this.#view, ...place)
  }

  #resize(): void {
    const { clientWidth: width, clientHeight: height } = this.#canvas
    this.#canvas.width = Math.round(width * devicePixelRatio)
    this.#canvas.height = Math.round(height * devicePixelRatio)
    if (this.#view === undefined) this.#fit()
    else this.#view = { ...this.#view, width, height }
    // A canvas of another size is empty: without this it would flicker.
    this.#draw()
  }

  #fit(): void {
    const { clientWidth, clientHeight } = this.#canvas
    if (clientWidth === 0) return
    this.#view = fitted(clientWidth, clientHeight, this.#layout.width, this.#layout.height)
    this.#schedule()
  }

  #move(change: (view: Viewport) => Viewport): void {
    if (this.#view === undefined) return
    this.#view = change(this.#view)
    this.#schedule()
  }

  #schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    requestAnimationFrame(() => {
      this.#isScheduled = false
      this.#draw()
    })
  }

  #draw(): void {
    if (this.#view === undefined) return
    const picture = { layout: this.#layout, edges: this.#edges, theme: this.#theme, found: this.#found }
    draw(this.#context, picture, this.#view, devicePixelRatio)
  }

  #onTheme(): void {
    this.#theme = themeOf()
    this.#schedule()
  }

  #onDown(event: PointerEvent): void {
    this.#canvas.setPointerCapture(event.pointerId)
    this.#drag = { x: event.offsetX, y: event.offsetY, movedPx: 0 }
  }

  #onMove(event: PointerEvent): void {
    const drag = this.#drag
    if (drag === undefined) {
      this.#onPoint(this.#textAt(event.offsetX, event.offsetY))
      return
    }
    const [dx, dy] = [event.offsetX - drag.x, event.offsetY - drag.y]
    this.#drag = { x: event.offsetX, y: event.offsetY, movedPx: drag.movedPx + Math.abs(dx) + Math.abs(dy) }
    this.#move(view => panned(view, dx, dy))
  }

  #onUp(event: PointerEvent): void {
    const hasClicked = this.#drag !== undefined && this.#drag.movedPx < CLICK_PX
    this.#drag = undefined
    if (hasClicked) this.#open(event.offsetX, event.offsetY)
  }

  #onWheel(event: WheelEvent): void {
    event.preventDefault()
    this.#move(view => zoomed(view, event.deltaY < 0 ? ZOOM : 1 / ZOOM, event.offsetX, event.offsetY))
  }

  #onKey(event: KeyboardEvent): void {
    // A person who types and presses Enter is faster than the next frame: the middle would be that of before.
    this.show(current())
    if (event.ctrlKey || event.metaKey || event.altKey || this.#view === undefined) return
    const [x, y] = [this.#view.width / 2, this.#view.height / 2]
    const step = KEYS[event.key]
    if (step !== undefined) this.#move(view => panned(view, ...step))
    else if (event.key === '+' || event.key === '=') this.#move(view => zoomed(view, ZOOM, x, y))
    else if (event.key === '-') this.#move(view => zoomed(view, 1 / ZOOM, x, y))
    else if (event.key === '0') this.#fit()
    else if (event.key === 'Enter') this.#open(x, y)
    else return
    event.preventDefault()
    this.#onPoint(this.#textAt(x, y))
  }

  #hit(atX: number, atY: number): ReturnType<typeof hitAt> {
    return this.#view === undefined ? undefined : hitAt(this.#layout, ...pointAt(this.#view, atX, atY))
  }

  #textAt(atX: number, atY: number): string {
    const hit = this.#hit(atX, atY)
    this.#canvas.style.cursor = hit === undefined ? 'grab' : 'pointer'
    if (hit === undefined) return ''
    const { card, dot } = hit
    return dot === undefined ? `host ${card.machine}: ${card.state}` : `${dot.address}: ${dot.health}`
  }

  #open(atX: number, atY: number): void {
    const hit = this.#hit(atX, atY)
    if (hit === undefined) return
    location.hash = hit.dot === undefined ? linkTo('host', hit.card.machine) : linkTo('workload', hit.dot.address)
  }
}

/** One line for all flows between two places over one carrier: those of the busiest. */
function edgesOf({ flows }: FlowsView, rates: State['rates'], { places }: Layout): Edge[] {
  const edges = new Map<string, Edge>()
  const placeOf = (address: string): Edge['from'] | undefined =>
    places.get(address) ?? places.get(address.split('.')[4] ?? '')
  for (const { id, source, destination, carrier } of flows) {
    const [from, to] = [placeOf(source), placeOf(destination)]
    if (from === undefined || to === undefined) continue
    // As in "relay via b".
    const [kind = ''] = carrier.split(' ')
    const key = `${source} ${destination} ${kind}`
    edges.set(key, { from, to, carrier: kind, rate: (edges.get(key)?.rate ?? 0) + (rates.get(id) ?? 0) })
  }
  return [...edges.values()].sort((a, b) => b.rate - a.rate).slice(0, MAX_EDGES)
}
