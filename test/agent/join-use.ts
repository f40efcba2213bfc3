import type { JoinUse, PeerKey } from '../../src/identity/index.ts'

/** An admission of host b by the keys `keys`, but for what is given. */
export function joinUse(given: Partial<JoinUse>): JoinUse {
  const host = { keys: 'keys', machine: 'b', peer: 'peer-b' as PeerKey, remote: '192.0.2.2' }
  return { source: 'aa', method: 'token', ...host, usedAtMs: 0, ephemeral: false, leftAtMs: undefined, ...given }
}
