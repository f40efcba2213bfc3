import type { Layout } from '../output/layout.ts'
import { formatAge, formatBytes } from '../output/quantities.ts'
import { type Column, table } from '../output/table.ts'
import type { Frame, Row } from './frame.ts'

export interface PictureOptions {
  /** Most lines. @default as many as there are */
  readonly rows?: number | undefined
  readonly layout: Layout
  /** What the keys do, or why nothing moves. @default no line for it */
  readonly footer?: string
}

/** Where the figures of a line begin. */
const INDENT = 7

/** A frame as text: the agent, the mesh, and as many flows as there is room for. */
export function picture(frame: Frame, { rows = Number.POSITIVE_INFINITY, layout, footer }: PictureOptions): string {
  const width = layout.columns ?? Number.POSITIVE_INFINITY
  const head = headOf(frame, width)
  // An empty line, and the titles.
  const room = rows - head.length - 2 - (footer === undefined ? 0 : 2)
  const fitting = frame.rows.length <= room ? frame.rows : frame.rows.slice(0, Math.max(0, room - 1))
  const left = frame.rows.length - fitting.length
  const lines = [
    ...head,
    '',
    ...table(columnsOf(frame), fitting, layout).split('\n'),
    ...(left > 0 ? [clipped(`… ${left} more`, width)] : []),
    ...(footer === undefined ? [] : ['', clipped(footer, width)])
  ]
  return lines.slice(0, Math.max(1, rows)).join('\n')
}

/** The figures of the host, on as many lines as the width needs: none of them is left out. */
function headOf(frame: Frame, width: number): string[] {
  const { agent, members } = frame
  const figures: Readonly<Record<string, readonly string[]>> = {
    agent: [
      `cpu ${agent.cpuPercent.toFixed(1)} %`,
      `memory ${formatBytes(agent.residentBytes)}`,
      `event loop lag ${agent.eventLoopLagMs.toFixed(1)} ms`,
      `files ${agent.openFiles}`
    ],
    mesh: [
      `connected ${members.connected}`,
      `alive ${members.alive}`,
      `suspect ${members.suspect}`,
      `sessions ${frame.sessions}`,
      `registrations ${frame.registrations}`
    ],
    flows: [
      String(frame.flows),
      `in ${rate(frame.bytesInPerSecond)}`,
      `out ${rate(frame.bytesOutPerSecond)}`,
      `opened ${frame.opensPerSecond.toFixed(1)}/s`,
      `refused ${frame.refusalsPerSecond.toFixed(1)}/s`,
      `failed ${frame.failuresPerSecond.toFixed(1)}/s`
    ]
  }
  const title = `${frame.machine} of ${frame.trustDomain}: ${frame.state}   ${frame.at}`
  return [clipped(title, width), ...Object.entries(figures).flatMap(([name, all]) => wrapped(name, all, width))]
}

function wrapped(name: string, figures: readonly string[], width: number): string[] {
  const lines: string[] = []
  let line = name.padEnd(INDENT)
  for (const figure of figures) {
    if (line.trim() !== '' && line.length + figure.length > width) {
      lines.push(line.trimEnd())
      line = ' '.repeat(INDENT)
    }
    line += `${figure}   `
  }
  return [...lines, line.trimEnd()].map(one => clipped(one, width))
}

function columnsOf({ at, by }: Frame): Column<Row>[] {
  const name = (title: string, of: 'source' | 'destination' | 'carrier'): Column<Row> => ({
    title,
    value: row => (row[of] === 'local' ? 'same host' : (row[of] ?? ''))
  })
  const groups = {
    flow: [
      name('SOURCE', 'source'),
      name('DESTINATION', 'destination'),
      { title: 'PROTOCOL', value: (row: Row) => row.protocol ?? '', rank: 2 },
      { ...name('VIA', 'carrier'), rank: 5 }
    ],
    source: [name('SOURCE', 'source')],
    destination: [name('DESTINATION', 'destination')],
    carrier: [name('VIA', 'carrier')]
  }
  const count: Column<Row> = { title: 'FLOWS', value: row => String(row.flows), align: 'right' }
  return [
    ...groups[by],
    ...(by === 'flow' ? [] : [count]),
    { title: 'IN/s', value: row => rate(row.bytesInPerSecond), align: 'right' },
    { title: 'OUT/s', value: row => rate(row.bytesOutPerSecond), align: 'right' },
    { title: 'IN', value: row => formatBytes(row.bytesIn), align: 'right', rank: 3 },
    { title: 'OUT', value: row => formatBytes(row.bytesOut), align: 'right', rank: 4 },
    { title: 'AGE', value: row => formatAge(row.openedAtMs, Date.parse(at)), rank: 1 }
  ]
}

function rate(bytesPerSecond: number): string {
  return `${formatBytes(bytesPerSecond)}/s`
}

function clipped(line: string, width: number): string {
  return line.length <= width ? line : `${line.slice(0, width - 1)}…`
}
