import { InvariantBroken } from './failure.ts'
import type { Host } from './host.ts'
import type { Simulation } from './simulation.ts'

/** Every collection of a replica is within its limit. Costs nothing that grows with the mesh, so it is asked at each step. */
export function checkBounds(sim: Simulation, host: Host): void {
  const { driver, disk } = host
  if (driver === undefined) return
  const { state, underWay } = driver
  const { maxOwners, maxPublications, maxTotalBytes } = state.limits
  const within = (what: string, size: number, limit: number): void => {
    if (size <= limit) return
    throw new InvariantBroken('memory is bounded', `${host.machine} holds ${size} ${what}, the limit is ${limit}`)
  }
  within('entries', state.entries.size, maxOwners)
  within('marks', state.highWaterMarks.size, 4 * maxOwners)
  within('marks on disk', disk.size, 4 * maxOwners + 1)
  within('quarantines', state.quarantines.size, maxOwners)
  within('clocks', state.clocks.size, maxOwners)
  within('chain tries', state.chainTries.size, maxOwners)
  within('acknowledgements', state.acks.size, maxOwners)
  within('publications', state.publications.length, maxPublications)
  within('bytes', state.totalBytes, maxTotalBytes)
  within('sessions', underWay.sessions, sim.hosts.length)
  within('acknowledgements under way', underWay.acks, sim.hosts.length)
}
