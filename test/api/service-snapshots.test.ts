import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ServiceSnapshots } from '../../src/api/services/service-snapshots.ts'
import { parsePattern } from '../../src/identity/index.ts'

describe('the state that watchers share', () => {
  it('is made once for all of them, and in a time of many changes once in the time given', () => {
    let made = 0
    const snapshots = new ServiceSnapshots(() => {
      made += 1
      return []
    }, 100)
    const changes = Array.from({ length: 10 }, async () => {})
    const latest = (at: number, nowMs: number) => {
      const change = changes[at] as Promise<void>
      return snapshots.current(undefined, change) ?? snapshots.fresh(undefined, nowMs)
    }
    const first = snapshots.make(undefined, changes[0] as Promise<void>, 0)
    for (let watcher = 0; watcher < 100; watcher += 1) assert.equal(latest(0, 5_000), first)
    for (let change = 1; change < 10; change += 1) assert.equal(latest(change, 99), first)
    assert.equal(latest(1, 100), undefined)
    assert.equal(made, 1)
  })

  it('says by its change whether it is the last one', () => {
    const snapshots = new ServiceSnapshots(() => [], 100)
    const [before, after] = [Promise.resolve(), Promise.resolve()]
    snapshots.make(undefined, before, 0)
    assert.equal(snapshots.fresh(undefined, 50)?.change, before)
    assert.equal(snapshots.current(undefined, after), undefined)
    snapshots.make(undefined, after, 60)
    assert.equal(snapshots.current(undefined, after)?.change, after)
  })

  it('is another one for another pattern', () => {
    const snapshots = new ServiceSnapshots(() => [], 100)
    const change = Promise.resolve()
    snapshots.make(undefined, change, 0)
    assert.equal(snapshots.current(parsePattern('dev.*.*.*'), change), undefined)
    assert.equal(snapshots.fresh(parsePattern('dev.*.*.*'), 0), undefined)
  })
})
