import { type Facts, isProblem, type SampleFacts } from './facts.ts'
import { type Finding, ok, warn } from './finding.ts'

const PORTS = 'TCP to the data port (7461) or the mesh port (7460) of this host'
const FORWARD = 'or forward one at its NAT and give the address outside: up --advertise'

/**
 * How other hosts have reached this one since its agent started, as far as it took part: who dials its ports needs nobody's help,
 * and asks for nothing.
 */
export function reachChecks({ status, samples }: Facts): Finding[] {
  if (isProblem(status) || isProblem(samples) || status.members < 2) return []
  const counted = countedIn(samples)
  const dialledBack = counted('warren_reverse_connections_total', { role: 'dialler', result: 'ok' })
  const failedBack = counted('warren_reverse_connections_total', { role: 'dialler', result: 'failed' })
  const punched = counted('warren_punched_connections_total', { role: 'invited', result: 'ok' })
  const failed = counted('warren_punched_connections_total', { role: 'invited', result: 'failed' })
  // Another way that worked is no fault: hosts try the next one, and count the one that failed.
  const worked = dialledBack + punched
  if (failed > 0 && worked === 0) {
    const text = `none of ${failed} attempts through NATs came about: relays or the mesh may carry those flows`
    return [warn('reach', text, `Allow ${PORTS}, ${FORWARD}; a NAT that changes ports cannot be passed.`)]
  }
  if (failedBack > 0 && worked === 0) {
    const text = `this host was asked to dial back ${failedBack} times, and never could: hosts that cannot dial its ports need a relay`
    return [warn('reach', text, `Allow ${PORTS}, or TCP from this host to the ports of the others.`)]
  }
  const ways = [
    ...(dialledBack > 0 ? [`reverse (this host has dialled back or to a relay ${dialledBack} times)`] : []),
    ...(punched > 0 ? [`punched (${punched} times through its NAT, which keeps ports)`] : [])
  ]
  if (ways.length > 0) return [ok('reach', `${ways.join(', ')}; hosts that can dial its ports do`)]
  return [ok('reach', 'no host has asked this one to dial back: those that connect dial its ports, or use the mesh')]
}

type Labels = Readonly<Record<string, string>>

function countedIn(samples: readonly SampleFacts[]): (name: string, labels: Labels) => number {
  return (name, labels) =>
    samples
      .filter(one => one.name === name && Object.entries(labels).every(([key, value]) => one.labels[key] === value))
      .reduce((sum, { value }) => sum + value, 0)
}
