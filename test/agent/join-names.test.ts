import assert from 'node:assert/strict'
import test from 'node:test'
import { JoinNames } from '../../src/ca/joins/names.ts'
import { systemClock } from '../../src/core/index.ts'
import { peerKeyOf, type Revocation } from '../../src/identity/index.ts'
import type { JoinStore } from '../../src/state/index.ts'

const peer = (at: number) => peerKeyOf(new Uint8Array(32).fill(at))
const SECOND_MS = 1_700_000_000_000
const JOINED_MS = SECOND_MS + 57

function takenAfter(evictedMs: number): string | undefined {
  const revocation: Revocation = {
    ...{ id: 'e1', machine: 'web-1', peers: [], keys: [], pattern: undefined, reason: '', createdAtMs: evictedMs },
    // In whole seconds, as the dates of certificates.
    beforeMs: Math.floor(evictedMs / 1_000) * 1_000
  }
  const ledger: Pick<JoinStore, 'waitingAs' | 'lastOf'> = {
    waitingAs: () => undefined,
    lastOf: () => ({ peer: peer(1), usedAtMs: JOINED_MS, ephemeral: false }) as ReturnType<JoinStore['lastOf']>
  }
  return new JoinNames({
    machine: 'a',
    ledger: ledger as JoinStore,
    peerOf: () => undefined,
    revocations: () => [revocation],
    clock: systemClock
  }).taken('web-1', peer(2))
}

test('the name of a host is free after its eviction, also in the second in which it joined', () => {
  assert.equal(takenAfter(JOINED_MS + 5_000), undefined)
  assert.equal(takenAfter(JOINED_MS + 1), undefined)
})

test('a host that joined after the eviction of another one of its name has the name', () => {
  assert.match(takenAfter(JOINED_MS - 1) ?? '', /and was not evicted/)
})
