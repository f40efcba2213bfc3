import { CARD_HEIGHT, CARD_WIDTH, type Card, cardsIn, type Dot, HEAD_HEIGHT, type Layout } from './layout.ts'
import type { Theme } from './theme.ts'
import type { Viewport } from './viewport.ts'

/** The flows between two places over one carrier. */
export interface Edge {
  readonly from: readonly [x: number, y: number]
  readonly to: readonly [x: number, y: number]
  readonly carrier: string
  /** Bytes in a second. */
  readonly rate: number
}

export interface Picture {
  readonly layout: Layout
  readonly edges: readonly Edge[]
  readonly theme: Theme
  /** The machine or address that was searched; empty for none. */
  readonly found: string
}

// What is smaller could not be told from its neighbours, and most of the cost of a frame is for what is small: a host that is
// seen from afar is a block, in which the part of its failing workloads is marked.
const CARD_PX = 26
const DOT_PX = 5
const NAME_PX = 84
const WORKLOAD_PX = 44
/** Lines that are drawn: those of the busiest flows. */
export const MAX_EDGES = 200
/** With more in sight they are thin and solid: dashes, and width, cost ten times as much. */
const MAX_STYLED_EDGES = 40
/** Shapes besides colours: solid, dashed, dotted. */
const DASHES: Readonly<Record<string, readonly number[]>> = { mesh: [8, 4], relay: [2, 4] }

/** Draws what the window shows; the rest costs nothing. */
export function draw(context: CanvasRenderingContext2D, picture: Picture, view: Viewport, pixelRatio: number): void {
  const { layout, edges, theme } = picture
  context.setTransform(pixelRatio, 0, 0, pixelRatio, 0, 0)
  context.clearRect(0, 0, view.width, view.height)
  const cards = cardsIn(layout, view.x, view.y, view.x + view.width / view.scale, view.y + view.height / view.scale)
  const isDetailed = CARD_WIDTH * view.scale >= CARD_PX
  if (isDetailed) drawCards(context, cards, theme, view)
  else drawBlocks(context, cards, theme, view)
  drawEdges(context, edges, theme, view)
  if (CARD_WIDTH * view.scale >= NAME_PX) drawNames(context, cards, theme, view)
  const place = layout.places.get(picture.found)
  if (place !== undefined) drawFound(context, place, theme, view)
}

/** The colour of a host. */
export function stateColour(state: string, failing: number, theme: Theme): string {
  switch (state) {
    case 'self':
    case 'connected':
    case 'alive':
      return failing > 0 ? theme.warning : theme.good
    case 'suspect':
      return theme.warning
    case 'unknown':
      return theme.unknown
    default:
      return theme.bad
  }
}

function drawBlocks(context: CanvasRenderingContext2D, cards: readonly Card[], theme: Theme, view: Viewport): void {
  const [width, height] = [Math.max(1, CARD_WIDTH * view.scale), Math.max(1, CARD_HEIGHT * view.scale)]
  for (const [colour, some] of Map.groupBy(cards, ({ state, failing }) => stateColour(state, failing, theme))) {
    context.fillStyle = colour
    for (const { x, y } of some) context.fillRect((x - view.x) * view.scale, (y - view.y) * view.scale, width, height)
  }
}

function drawCards(context: CanvasRenderingContext2D, cards: readonly Card[], theme: Theme, view: Viewport): void {
  const { scale } = view
  const [width, height] = [CARD_WIDTH * scale, CARD_HEIGHT * scale]
  const at = (x: number, y: number): [number, number] => [(x - view.x) * scale, (y - view.y) * scale]
  // The border is a larger rectangle behind: filling is several times cheaper than stroking. From afar the gaps are enough.
  context.fillStyle = theme.border
  for (const { x, y } of width < NAME_PX ? [] : cards) {
    const [left, top] = at(x, y)
    context.fillRect(left - 1, top - 1, width + 2, height + 2)
  }
  context.fillStyle = theme.card
  for (const { x, y } of cards) context.fillRect(...at(x, y), width, height)
  for (const [colour, some] of Map.groupBy(cards, ({ state, failing }) => stateColour(state, failing, theme))) {
    context.fillStyle = colour
    for (const { x, y } of some) context.fillRect(...at(x, y), width, Math.max(2, 4 * scale))
  }
  const colours: Readonly<Record<Dot['health'], string>> = {
    passing: theme.good,
    failing: theme.bad,
    unknown: theme.unknown
  }
  const [far, near] = [cards.filter(isFar), cards.filter(card => !isFar(card))]
  context.fillStyle = theme.bad
  for (const { x, y, failing, dots, more } of far) {
    if (failing === 0) continue
    const part = Math.max(0.15, failing / (dots.length + more))
    context.fillRect(...at(x, y + CARD_HEIGHT * (1 - part)), width, height * part)
  }
  for (const health of ['passing', 'failing', 'unknown'] as const) {
    context.fillStyle = colours[health]
    for (const { dots, dotSize } of near) {
      const size = dotSize * scale
      for (const dot of dots) if (dot.health === health) context.fillRect(...at(dot.x, dot.y), size, size)
    }
  }

  function isFar({ dotSize }: Card): boolean {
    return dotSize * scale < DOT_PX
  }
}

function drawNames(context: CanvasRenderingContext2D, cards: readonly Card[], theme: Theme, view: Viewport): void {
  const { scale } = view
  context.fillStyle = theme.text
  context.textBaseline = 'middle'
  context.font = `600 ${Math.min(16, Math.max(10, 13 * scale))}px system-ui, sans-serif`
  for (const { machine, x, y, dots, more } of cards) {
    const count = dots.length + more
    const text = `${shortened(machine, 18)}${count === 0 ? '' : ` · ${count}`}`
    context.fillText(text, (x + 8 - view.x) * scale, (y + HEAD_HEIGHT / 2 + 2 - view.y) * scale)
  }
  context.font = '10px system-ui, sans-serif'
  for (const { dots, dotSize } of cards) {
    if (dotSize * scale < WORKLOAD_PX) continue
    for (const dot of dots) {
      const name = dot.address.split('.')[2] ?? ''
      context.fillText(shortened(name, 9), (dot.x - view.x) * scale + 2, (dot.y + dotSize / 2 - view.y) * scale)
    }
  }
}

function drawEdges(context: CanvasRenderingContext2D, edges: readonly Edge[], theme: Theme, view: Viewport): void {
  const seen = edges.filter(edge => isSeen(edge, view))
  const isStyled = seen.length <= MAX_STYLED_EDGES
  for (const { from, to, carrier, rate } of seen) {
    context.strokeStyle = theme.carriers[carrier] ?? theme.unknown
    context.lineWidth = isStyled ? widthOf(rate) : 1
    context.setLineDash(isStyled ? [...(DASHES[carrier] ?? [])] : [])
    // One path for all would cost more: where its lines cross, it is filled once.
    context.beginPath()
    context.moveTo((from[0] - view.x) * view.scale, (from[1] - view.y) * view.scale)
    context.lineTo((to[0] - view.x) * view.scale, (to[1] - view.y) * view.scale)
    context.stroke()
  }
  context.setLineDash([])
}

function isSeen({ from, to }: Edge, view: Viewport): boolean {
  const [right, bottom] = [view.x + view.width / view.scale, view.y + view.height / view.scale]
  return !(
    (from[0] < view.x && to[0] < view.x) ||
    (from[0] > right && to[0] > right) ||
    (from[1] < view.y && to[1] < view.y) ||
    (from[1] > bottom && to[1] > bottom)
  )
}

/** Thicker for each factor of ten from 1 kB/s. */
function widthOf(rate: number): number {
  return 1.5 + Math.max(0, Math.min(5, Math.floor(Math.log10(Math.max(1, rate / 100)))))
}

function drawFound(
  context: CanvasRenderingContext2D,
  [x, y]: readonly [number, number],
  theme: Theme,
  view: Viewport
): void {
  context.strokeStyle = theme.found
  context.lineWidth = 3
  context.beginPath()
  context.arc((x - view.x) * view.scale, (y - view.y) * view.scale, Math.max(14, 26 * view.scale), 0, 2 * Math.PI)
  context.stroke()
}

function shortened(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`
}
