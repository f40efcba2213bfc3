import { rmSync } from 'node:fs'
import { DATABASE, VaultFile } from './names.ts'
import type { Vault } from './vault.ts'

/** Empties a state directory: the host is no member any more, and joins anew. Call it with the database closed. */
export function endMembership(vault: Vault): void {
  // The chains first: without them the rest belongs to no member, whenever this is interrupted.
  const first = [VaultFile.RenewedNode, VaultFile.NodeChain]
  const all = [...first, ...Object.values(VaultFile).filter(name => !first.some(one => one === name))]
  for (const name of all) if (vault.has(name)) vault.remove(name)
  for (const suffix of ['', '-wal', '-shm']) rmSync(vault.path(`${DATABASE}${suffix}`), { force: true })
}
