import type { Row } from './model.ts'
import type { RealRow } from './real.ts'

/** How far the model may be from real agents, either way. */
const TOLERANCE = 0.15

type Line = readonly [title: string, model: number | undefined, real: number, text: (value: number) => string]

const ms = (value: number): string => `${Math.round(value)} ms`
const kilo = (bytes: number): string => `${(bytes / 1_000).toFixed(2)} KB`

/** The model beside real agents: a title, both, their ratio, and whether that is within 15 %. */
export function compare(row: Row, real: RealRow): ReadonlyArray<readonly string[]> {
  const lines: readonly Line[] = [
    ['connections of a host: mean', row.connections.mean, real.connections.mean, value => value.toFixed(1)],
    ['connections of a host: most', row.connections.max, real.connections.max, value => value.toFixed(0)],
    ['a change is with all', row.change.allMs, real.changeMs, ms],
    ['--wait all: until it is known', row.waitAll.ms, real.waitAll.ms, ms],
    ['--wait all: bytes at the owner', row.waitAll.bytes, real.waitAll.bytes, kilo],
    ['a crashed host is hidden from all', row.crash.p99Ms, real.crashMs, ms],
    ['idle, bytes a second', row.idleBytesPerSecond.all, real.idleBytesPerSecond, kilo],
    ['idle, processor time a second', undefined, real.idleCpuMsPerSecond, value => `${value.toFixed(2)} ms`],
    ['processor time of a host for a change', undefined, real.changeCpuMs, value => `${value.toFixed(2)} ms`],
    ['resident memory', undefined, real.residentBytes, value => `${(value / 1e6).toFixed(0)} MB`]
  ]
  return lines.map(([title, predicted, seen, text]) => [
    title,
    predicted === undefined ? '' : text(predicted),
    text(seen),
    predicted === undefined ? '' : (predicted / seen).toFixed(2),
    predicted === undefined ? '' : verdict(predicted / seen)
  ])
}

function verdict(ratio: number): string {
  return Math.abs(ratio - 1) <= TOLERANCE ? 'within 15 %' : 'not within 15 %'
}
