type Point = readonly [x: number, y: number]

export interface Box {
  readonly x: number
  readonly y: number
  readonly width: number
  readonly title: string
  readonly lines: readonly string[]
}

export interface HostBox extends Box {
  readonly height: number
  /** The programs on it, from top to bottom. */
  readonly programs: readonly string[]
}

export interface Arrow {
  readonly from: Point
  readonly to: Point
  readonly kind: 'mesh' | 'flow' | 'inside'
}

export interface Picture {
  /** Name of its file, without the extension. */
  readonly name: string
  readonly title: string
  readonly width: number
  readonly height: number
  readonly hosts: readonly HostBox[]
  readonly walls: ReadonlyArray<{ readonly from: Point; readonly to: Point; readonly label: string }>
  readonly arrows: readonly Arrow[]
  readonly words: ReadonlyArray<{
    readonly at: Point
    readonly text: string
    readonly anchor: 'start' | 'middle' | 'end'
  }>
  readonly legend: string
}

const STROKE: Record<Arrow['kind'], string> = {
  mesh: 'stroke="#8a94a6" stroke-width="1.5" stroke-dasharray="7 5"',
  flow: 'stroke="#2f6f4f" stroke-width="3"',
  inside: 'stroke="#2f6f4f" stroke-width="3" stroke-dasharray="3 4"'
}

const LINE = 26

/** A picture of hosts, of their programs, and of their connections. */
export function svgOf({ title, width, height, hosts, walls, arrows, words, legend }: Picture): string {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" role="img">`,
    `<title>${title}</title>`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    ...Object.entries({ mesh: '#8a94a6', flow: '#2f6f4f', inside: '#2f6f4f' }).map(
      ([kind, colour]) =>
        `<marker id="${kind}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="9" markerHeight="9" markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0 8 4 0 8z" fill="${colour}"/></marker>`
    ),
    text([width / 2, 28], title, 14, 'middle', '#1d2738'),
    ...walls.map(({ from, to, label }) =>
      [
        `<path d="M${from.join(' ')}L${to.join(' ')}" stroke="#b04a3a" stroke-width="6" stroke-dasharray="24 6"/>`,
        text([from[0] + 4, from[1] - 10], label, 12, 'start', '#b04a3a')
      ].join('')
    ),
    ...hosts.map(host),
    ...arrows.map(arrow),
    ...words.map(({ at, text: said, anchor }) => text(at, said, 12, anchor, '#1d2738')),
    text([width / 2, height - 12], legend, 11, 'middle', '#44506a'),
    '</svg>',
    ''
  ].join('\n')
}

function host({ x, y, width, height, title, lines, programs }: HostBox): string {
  const first = y + 22 + lines.length * 16
  return [
    `<rect x="${x}" y="${y}" width="${width}" height="${height}" rx="5" fill="#eef2f8" stroke="#4a5a75"/>`,
    text([x + 12, y + 20], title, 14, 'start', '#1d2738', ' font-weight="bold"'),
    ...lines.map((line, index) => text([x + 12, y + 37 + index * 16], line, 11, 'start', '#44506a')),
    ...programs.map((program, index) => {
      const top = first + 12 + index * (LINE + 8)
      return [
        `<rect x="${x + 12}" y="${top}" width="${width - 24}" height="${LINE}" rx="3" fill="#ffffff" stroke="#8a94a6"/>`,
        text([x + 22, top + 17], program, 12, 'start', '#1d2738')
      ].join('')
    })
  ].join('')
}

function arrow({ from, to, kind }: Arrow): string {
  return `<path d="M${from.join(' ')}L${to.join(' ')}" fill="none" ${STROKE[kind]} marker-end="url(#${kind})"/>`
}

function text([x, y]: Point, words: string, size: number, anchor: string, fill: string, more = ''): string {
  return `<text x="${x}" y="${y}" text-anchor="${anchor}" font-size="${size}" fill="${fill}"${more}>${words}</text>`
}
