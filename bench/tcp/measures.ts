import type { Started } from '../contender.ts'
import type { Load } from '../load.ts'
import type { Figure, Measure, Named } from '../rounds.ts'
import { cpuMs } from '../usage.ts'

export type Running = Named & Started

const MEGABYTE = 1_000_000
const BULK_BYTES = 512 * MEGABYTE
/** So many that what a program pays once, for its first ones, is little of it: agents and proxies run for long. */
const CONNECTIONS = 4_000
const PARALLEL = 16

/** The measures of every program that carries what one socket takes to another. */
export function tcpMeasures(load: Load): readonly Measure<Running>[] {
  const bulk = (name: string, verb: 'bulk' | 'both', flows: number): Measure<Running> => ({
    figures: [{ key: 'megabytesPerSecond', name, unit: 'MB/s', better: 'more' }],
    run: async ({ path, enter }) =>
      await load.within(enter).run(verb, path, flows, Math.floor(BULK_BYTES / flows / (verb === 'both' ? 2 : 1)))
  })
  const latency = (name: string, size: number, count: number): Measure<Running> => {
    const of = (key: 'p50' | 'p99'): Figure => ({ key, name: `${name}, ${key}`, unit: 'µs', better: 'less' })
    return {
      figures: [of('p50'), of('p99')],
      run: async ({ path, enter }) => await load.within(enter).run('latency', path, count, size)
    }
  }
  const measures: readonly Measure<Running>[] = [
    bulk('bulk, 1 flow', 'bulk', 1),
    bulk('bulk, 8 flows', 'bulk', 8),
    bulk('bulk, 64 flows', 'bulk', 64),
    bulk('bulk both ways, 1 flow', 'both', 1),
    {
      figures: [{ key: 'connectionsPerSecond', name: 'connect, request, close', unit: '/s', better: 'more' }],
      run: async ({ path, enter }) => await load.within(enter).run('connect', path, CONNECTIONS, PARALLEL)
    },
    latency('64-byte round trip', 64, 5_000),
    latency('16 KiB round trip', 16 * 1024, 2_000)
  ]
  return measures.map(withProcessorTime)
}

/** Also measures the processor time that the processes of both ends take for the same work. */
function withProcessorTime({ figures, run }: Measure<Running>): Measure<Running> {
  const [first] = figures
  const name = `${first?.name.replace(/, p50$/, '')}: processor time of both ends`
  return {
    figures: [...figures, { key: 'cpuMs', name, unit: 'ms', better: 'less' }],
    async run(running) {
      const { pids } = running
      const used = (): number => pids.reduce((sum, pid) => sum + cpuMs(pid), 0)
      const before = used()
      const result = await run(running)
      return pids.length === 0 ? result : { ...result, cpuMs: used() - before }
    }
  }
}
