import type { Room } from './rooms.ts'

const WIDTH = 230
const HEIGHT = 46
const GAP = 16
const ROW_GAP = 40
const MARGIN = 16

interface Placed extends Room {
  readonly x: number
  readonly y: number
}

/** The picture of the rooms: each above what it imports, with an arrow where no other arrow says so already. */
export function svgOf(rooms: readonly Room[]): string {
  const rows = Math.max(...rooms.map(({ row }) => row)) + 1
  const byRow = Array.from({ length: rows }, (_, row) => rooms.filter(room => room.row === row))
  const widest = Math.max(...byRow.map(({ length }) => length))
  const width = 2 * MARGIN + widest * WIDTH + (widest - 1) * GAP
  const height = 2 * MARGIN + rows * HEIGHT + (rows - 1) * ROW_GAP
  const placed = byRow.flatMap((row, index) => {
    const left = (width - row.length * WIDTH - (row.length - 1) * GAP) / 2
    return row.map(
      (room, at): Placed => ({
        ...room,
        x: left + at * (WIDTH + GAP),
        y: MARGIN + index * (HEIGHT + ROW_GAP)
      })
    )
  })
  const byName = new Map(placed.map(room => [room.name, room]))
  const arrows = placed.flatMap(from => from.imports.map(name => arrow(from, byName.get(name))))
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" role="img">`,
    '<title>The rooms of src/: each imports only what is below it</title>',
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    '<marker id="end" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z" fill="#8a94a6"/></marker>',
    ...arrows,
    ...placed.map(box),
    '</svg>',
    ''
  ].join('\n')
}

function arrow(from: Placed, to: Placed | undefined): string {
  if (to === undefined) throw new Error(`${from.name} imports an unknown room`)
  const [x1, y1, x2, y2] = [from.x + WIDTH / 2, from.y + HEIGHT, to.x + WIDTH / 2, to.y]
  const bend = (y2 - y1) / 2
  return `<path d="M${x1} ${y1}C${x1} ${y1 + bend} ${x2} ${y2 - bend} ${x2} ${y2}" fill="none" stroke="#8a94a6" stroke-width="1.2" marker-end="url(#end)"/>`
}

function box({ name, knows, x, y }: Placed): string {
  const middle = x + WIDTH / 2
  return [
    `<rect x="${x}" y="${y}" width="${WIDTH}" height="${HEIGHT}" rx="5" fill="#eef2f8" stroke="#4a5a75"/>`,
    `<text x="${middle}" y="${y + 19}" text-anchor="middle" font-size="14" font-weight="bold" fill="#1d2738">${name}</text>`,
    `<text x="${middle}" y="${y + 36}" text-anchor="middle" font-size="11" fill="#44506a">${knows}</text>`
  ].join('')
}
