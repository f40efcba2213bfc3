import { DigestTable } from '../../src/registry/digest-table.ts'
import { type RegistryDriver, stateDigest } from '../../src/registry/index.ts'
import { InvariantBroken } from './failure.ts'
import type { Host } from './host.ts'
import { fingerprintOf } from './ledger.ts'
import type { Simulation } from './simulation.ts'

/** Compares what one replica derives from its own state with what it should: the dear part, so not at each step. */
export function takeCensus(sim: Simulation): void {
  const host = sim.random.pick(sim.hosts)
  if (host?.driver !== undefined) checkDerived(host, host.driver)
}

/** Whether each replica holds exactly what each host has registered. Says what is amiss, or nothing. */
export function disagreement(sim: Simulation): { readonly detail: string; readonly owner: string } | undefined {
  const live = sim.hosts.filter(({ up }) => up)
  for (const { driver, machine } of live) {
    const entries = driver?.state.entries
    for (const owner of live) {
      const entry = entries?.get(owner.peer)
      const owns = owner.driver?.state.entries.get(owner.peer)
      if (entry === undefined) return { detail: `${machine} does not know ${owner.machine}`, owner: owner.machine }
      const { epoch, recordSeq } = entry.sealed.head
      const current = owns?.sealed.head
      if (fingerprintOf(entry.set) !== owner.content) {
        const held = `${entry.set.count} of ${owner.registered.size} records, epoch ${epoch} record_seq ${recordSeq}`
        const detail = `${machine} holds ${held} of ${owner.machine}, which is at ${current?.epoch} ${current?.recordSeq}`
        return { detail, owner: owner.machine }
      }
    }
    for (const { owner } of entries?.values() ?? []) {
      if (!sim.host(owner).up) {
        const gone = sim.machineOf(owner)
        return { detail: `${machine} still holds ${gone}, which is dead`, owner: gone }
      }
    }
  }
  return undefined
}

/** Whether all live replicas have the same digest. */
export function isUniform(sim: Simulation): boolean {
  const digests = sim.hosts.flatMap(({ driver }) =>
    driver === undefined ? [] : [Buffer.from(stateDigest(driver.state)).toString('base64')]
  )
  return new Set(digests).size <= 1
}

function checkDerived(host: Host, { state }: RegistryDriver): void {
  const table = new DigestTable()
  let bytes = 0
  let listed = 0
  let placed = 0
  for (const { owner, ownerKey, sealed, set } of state.entries.values()) {
    if (state.machines.at(sealed.head.machine).includes(owner)) placed += 1
    const { epoch, seq } = sealed.head
    table.set({ owner, ownerKey, epoch, seq, digest: sealed.digest })
    for (const record of set) {
      bytes += record.bytes.length
      const { scope, appGroup, appIdentity, resourceGroup } = record.value.address
      const name = `${scope}.${appGroup}.${appIdentity}.${resourceGroup}`
      for (const [found, peer] of state.names.get(name)) {
        if (found.sha256 === record.sha256 && peer === owner) listed += 1
      }
    }
  }
  const count = [...state.entries.values()].reduce((sum, { set }) => sum + set.count, 0)
  const wrong =
    (!table.hashes().equals(state.digests.hashes()) && 'its digest') ||
    (bytes !== state.totalBytes && 'its count of bytes') ||
    ((listed !== count || state.names.size !== count) && 'its index of names') ||
    ((placed !== state.entries.size || state.machines.size !== placed) && 'its index of machines')
  if (wrong !== false) {
    throw new InvariantBroken('equal digests mean equal state', `${host.machine}: ${wrong} is not that of its state`)
  }
}
