/** A host as the map needs it. */
export interface MapHost {
  readonly machine: string
  readonly state: string
}

export interface MapWorkload {
  readonly address: string
  readonly machine: string
  readonly health: string
  readonly suspect: boolean
}

/** A workload, in units of the map. */
export interface Dot {
  readonly address: string
  readonly health: 'passing' | 'failing' | 'unknown'
  readonly x: number
  readonly y: number
}

/** A host with its workloads. */
export interface Card {
  readonly machine: string
  readonly state: string
  readonly x: number
  readonly y: number
  readonly dots: readonly Dot[]
  /** Width and height of a dot. */
  readonly dotSize: number
  /** Workloads beyond the maximum, which have no dot. */
  readonly more: number
  readonly failing: number
}

export interface Layout {
  readonly cards: readonly Card[]
  readonly columns: number
  readonly rows: number
  readonly width: number
  readonly height: number
  /** The middle of each dot and of each host, by address and by machine. */
  readonly places: ReadonlyMap<string, readonly [x: number, y: number]>
}

export const CARD_WIDTH = 180
export const CARD_HEIGHT = 120
export const HEAD_HEIGHT = 28
const GAP = 24
export const STEP_X = CARD_WIDTH + GAP
export const STEP_Y = CARD_HEIGHT + GAP
const PADDING = 8
const MAX_DOTS = 200
/** From a dot to the next. */
const MAX_STEP = 36
/** Of the map as a whole: that of most windows. */
const ASPECT = 16 / 9

/**
 * Places hosts on a grid, in the order of their names, so that a host stays where it is while others change.
 *
 * A grid tells without a search what a window shows: the cost of a frame depends on what is seen.
 */
export function layoutOf(hosts: readonly MapHost[], workloads: readonly MapWorkload[]): Layout {
  const byMachine = Map.groupBy(workloads, ({ machine }) => machine)
  const columns = Math.max(1, Math.round(Math.sqrt((hosts.length * ASPECT * STEP_Y) / STEP_X)))
  const places = new Map<string, readonly [number, number]>()
  const cards = hosts.map(({ machine, state }, at) => {
    const [x, y] = [(at % columns) * STEP_X, Math.floor(at / columns) * STEP_Y]
    places.set(machine, [x + CARD_WIDTH / 2, y + CARD_HEIGHT / 2])
    return cardOf(machine, state, x, y, byMachine.get(machine) ?? [], places)
  })
  const rows = Math.ceil(hosts.length / columns)
  return { cards, columns, rows, width: columns * STEP_X - GAP, height: Math.max(1, rows) * STEP_Y - GAP, places }
}

/** The cards in a part of the map, by their place on the grid. */
export function cardsIn(
  { cards, columns, rows }: Layout,
  left: number,
  top: number,
  right: number,
  bottom: number
): Card[] {
  const found: Card[] = []
  const [firstRow, lastRow] = [Math.max(0, Math.floor(top / STEP_Y)), Math.min(rows - 1, Math.floor(bottom / STEP_Y))]
  const firstColumn = Math.max(0, Math.floor(left / STEP_X))
  const lastColumn = Math.min(columns - 1, Math.floor(right / STEP_X))
  for (let row = firstRow; row <= lastRow; row += 1) {
    for (let column = firstColumn; column <= lastColumn; column += 1) {
      const card = cards[row * columns + column]
      if (card !== undefined) found.push(card)
    }
  }
  return found
}

/** The host at a point, and its workload there, if there are any. */
export function hitAt(layout: Layout, x: number, y: number): { card: Card; dot: Dot | undefined } | undefined {
  const [card] = cardsIn(layout, x, y, x, y)
  if (card === undefined || x > card.x + CARD_WIDTH || y > card.y + CARD_HEIGHT) return undefined
  const isThere = (dot: Dot): boolean =>
    x >= dot.x && x <= dot.x + card.dotSize && y >= dot.y && y <= dot.y + card.dotSize
  return { card, dot: card.dots.find(isThere) }
}

function cardOf(
  machine: string,
  state: string,
  x: number,
  y: number,
  workloads: readonly MapWorkload[],
  places: Map<string, readonly [number, number]>
): Card {
  const [width, height] = [CARD_WIDTH - 2 * PADDING, CARD_HEIGHT - HEAD_HEIGHT - PADDING]
  const shown = workloads.slice(0, MAX_DOTS)
  const perRow = Math.max(1, Math.ceil(Math.sqrt((shown.length * width) / height)))
  const step = Math.min(MAX_STEP, width / perRow, height / Math.max(1, Math.ceil(shown.length / perRow)))
  const size = step * 0.78
  const dots = shown.map((workload, at) => {
    const dot = {
      address: workload.address,
      health: healthOf(workload),
      x: x + PADDING + (at % perRow) * step,
      y: y + HEAD_HEIGHT + Math.floor(at / perRow) * step
    }
    places.set(workload.address, [dot.x + size / 2, dot.y + size / 2])
    return dot
  })
  const failing = workloads.filter(one => healthOf(one) === 'failing').length
  return { machine, state, x, y, dots, dotSize: size, more: workloads.length - shown.length, failing }
}

function healthOf({ health, suspect }: MapWorkload): Dot['health'] {
  if (suspect) return 'failing'
  return health === 'passing' || health === 'failing' ? health : 'unknown'
}
