import type { Growth } from './slope.ts'
import type { Report } from './soak.ts'

const MIB = 1024 * 1024

/** Writes the table of growth, and the verdict as the last line. */
export function print(report: Report, say: (line: string) => void): void {
  say('')
  say('agent   resident   per minute    descriptors  per minute    disk       per minute    renewals')
  for (const { name, last, growth, renewals } of report.agents) {
    say(
      [
        name.padEnd(7),
        mib(last.residentBytes).padEnd(10),
        slope(growth.residentBytes, bytes).padEnd(13),
        String(last.descriptors).padEnd(12),
        slope(growth.descriptors, value => value.toFixed(1)).padEnd(13),
        mib(last.diskBytes).padEnd(10),
        slope(growth.diskBytes, bytes).padEnd(13),
        String(renewals)
      ].join(' ')
    )
  }
  say('')
  const { disturbances, explained, numbers, failures, logs } = report
  for (const failure of failures) say(failure)
  if (logs !== undefined) say(`the logs of the agents: ${logs}`)
  const what = `${disturbances} disturbances, ${explained} ends of flows that they explain, ${numbers} numbers in order`
  say(failures.length === 0 ? `soak ok: ${what}` : `soak FAILED, faults: ${failures.length}; ${what}`)
}

/** A dash where an agent was killed too late to tell. */
function slope(growth: Growth | undefined, format: (value: number) => string): string {
  if (growth === undefined) return '-'
  return `${growth.perMinute < 0 ? '-' : '+'}${format(Math.abs(growth.perMinute))}`
}

function mib(value: number): string {
  return `${(value / MIB).toFixed(1)} MiB`
}

function bytes(value: number): string {
  return value < MIB ? `${(value / 1024).toFixed(0)} KiB` : mib(value)
}
