const [WIDTH, HEIGHT] = [760, 380]
const [LEFT, TOP, RIGHT, BOTTOM] = [56, 40, 220, 48]
const COLOURS = ['#1565c0', '#c62828', '#ef6c00', '#2e7d32', '#6a1b9a', '#00838f', '#4e342e', '#455a64']

/** The cumulative distribution of several sets of values over a logarithmic scale, as an SVG image. */
export function distribution(title: string, unit: string, sets: ReadonlyMap<string, readonly number[]>): string {
  const all = [...sets.values()].flat()
  const [from, to] = [Math.floor(Math.log10(Math.min(...all))), Math.ceil(Math.log10(Math.max(...all)))]
  const x = (value: number): number => LEFT + ((Math.log10(value) - from) / (to - from)) * (WIDTH - LEFT - RIGHT)
  const y = (share: number): number => TOP + (1 - share) * (HEIGHT - TOP - BOTTOM)
  const text = (left: number, top: number, of: string, anchor = 'middle'): string =>
    `<text x="${left.toFixed(1)}" y="${top.toFixed(1)}" text-anchor="${anchor}">${escaped(of)}</text>`
  const line = (x1: number, y1: number, x2: number, y2: number): string =>
    `<path d="M${x1.toFixed(1)} ${y1.toFixed(1)}L${x2.toFixed(1)} ${y2.toFixed(1)}" stroke="#ccc" fill="none"/>`
  const parts = [text((LEFT + WIDTH - RIGHT) / 2, 22, title)]
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    parts.push(line(LEFT, y(share), WIDTH - RIGHT, y(share)), text(LEFT - 8, y(share) + 4, `${100 * share} %`, 'end'))
  }
  for (let power = from; power <= to; power += 1) {
    const at = x(10 ** power)
    parts.push(line(at, y(0), at, y(1)), text(at, HEIGHT - BOTTOM + 18, `${10 ** power} ${unit}`))
  }
  for (const [index, [name, values]] of [...sets].entries()) {
    const colour = COLOURS[index % COLOURS.length]
    const sorted = values.toSorted((one, other) => one - other)
    const points = sorted.map((value, at) => `${x(value).toFixed(1)} ${y((at + 1) / sorted.length).toFixed(1)}`)
    const top = TOP + 12 + 20 * index
    parts.push(
      `<path d="M${points.join('L')}" stroke="${colour}" stroke-width="2" fill="none"/>`,
      `<rect x="${WIDTH - RIGHT + 16}" y="${top - 5}" width="14" height="4" fill="${colour}"/>`,
      text(WIDTH - RIGHT + 36, top + 1, name, 'start')
    )
  }
  const style = 'font-family="sans-serif" font-size="12" fill="#333"'
  const head = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" ${style}>`
  return `${head}\n<title>${escaped(title)}</title>\n<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>\n${parts.join('\n')}\n</svg>\n`
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
}
