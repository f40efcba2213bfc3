import { figure, type Measured, type Report } from './report.ts'
import { best, median } from './statistics.ts'

const WIDTH = 760
const [LEFT, TOP, RIGHT] = [230, 56, 90]
const BAR = 11
const GAP = 14
const COLOURS = ['#1565c0', '#90caf9', '#c62828', '#ef6c00', '#2e7d32', '#6a1b9a', '#455a64']
/** Beyond so many times the best of the others a bar is cut off: its figure says how long it would be. */
const MOST = 3

/** The medians of a report as bars, each measured by the best of the other programs, as an SVG image: longer is better. */
export function bars({ suite, measures }: Report): string {
  const contenders = [...new Set(measures.flatMap(({ results }) => results.map(({ contender }) => contender)))]
  const colour = (name: string): string => COLOURS[contenders.indexOf(name) % COLOURS.length] ?? '#000'
  const parts: string[] = []
  const text = (x: number, y: number, of: string, anchor = 'start'): void => {
    parts.push(`<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}">${escaped(of)}</text>`)
  }
  text(16, 20, `${suite}: medians, as a share of the best of the other programs; longer is better`)
  for (const [index, name] of contenders.entries()) {
    const x = 16 + index * 145
    parts.push(`<rect x="${x}" y="30" width="12" height="8" fill="${colour(name)}"/>`)
    text(x + 18, 38, name)
  }
  let y = TOP
  for (const measured of measures) {
    const rest = medians(measured).filter(({ ours, value }) => !ours && Number.isFinite(value))
    if (rest.length === 0) continue
    const reference = best(
      rest.map(({ value }) => value),
      measured.better
    )
    text(LEFT - 8, y + (BAR * measured.results.length) / 2 + 4, `${measured.name}, ${measured.unit}`, 'end')
    for (const { name, value } of medians(measured)) {
      const share = measured.better === 'more' ? value / reference : reference / value
      const length = Number.isFinite(share) ? (Math.min(share, MOST) / MOST) * (WIDTH - LEFT - RIGHT) : 0
      parts.push(`<rect x="${LEFT}" y="${y}" width="${length.toFixed(1)}" height="${BAR - 2}" fill="${colour(name)}"/>`)
      text(LEFT + length + 5, y + BAR - 3, figure(value))
      y += BAR
    }
    y += GAP
  }
  const one = LEFT + (WIDTH - LEFT - RIGHT) / MOST
  const grid = `<path d="M${one.toFixed(1)} ${TOP - 6}V${y - GAP}" stroke="#333" stroke-dasharray="3 3" fill="none"/>`
  const style = 'font-family="sans-serif" font-size="11" fill="#333"'
  const head = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y}" ${style}>`
  const title = `<title>${escaped(suite)}: warren and other programs</title>`
  return `${head}\n${title}\n<rect width="${WIDTH}" height="${y}" fill="#fff"/>\n${parts.join('\n')}\n${grid}\n</svg>\n`
}

function medians({ results }: Measured) {
  return results.map(({ contender: name, ours, values }) => ({ name, ours, value: median(values) }))
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
}
