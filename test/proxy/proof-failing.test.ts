import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ProofAttempts, proofTimeoutMs } from '../../src/proxy/session/proof-attempts.ts'
import { CARRIERS, type CarrierCase, hostsJoinedBy } from './support/carriers.ts'
import { Accepted, dial, readBytes } from './support/sockets.ts'
import { type Host, World } from './support/world.ts'

const NAME = 'dev.test.server.default'
const UNPROVED = /^renewed certificates are not proved: the flows of the session are cut when the proved ones end$/
const FAILED = (role: string) => `warren_session_proofs_total{role="${role}",result="failed"}`

async function live(carrier: CarrierCase) {
  const world = await World.create()
  const [near, far] = await hostsJoinedBy(world, carrier)
  const source = near.register('dev.test.client.default')
  const accepted = new Accepted()
  const served = await far.serve(NAME, accepted.push)
  const { path } = await near.connect(source, NAME)
  const open = async () => {
    const client = await dial(path)
    client.write('x')
    const server = await accepted.next()
    await readBytes(server, 1)
    return async () => {
      client.write('live')
      assert.equal((await readBytes(server, 4)).toString(), 'live')
    }
  }
  return { world, near, far, source, served, open }
}

/** Attempts until one is due and made: those that failed have a pause before them. */
async function untilProved({ proxy, counts }: Host, key: string): Promise<void> {
  const before = counts.get(key) ?? 0
  while ((counts.get(key) ?? 0) === before) {
    await proxy.proveAgain()
    await new Promise(resolve => setImmediate(resolve))
  }
}

for (const carrier of CARRIERS) {
  describe(`a proof that fails over ${carrier}`, { concurrency: true }, () => {
    it('is told at once with its reason, counted, and shown for the session and its flows, until one works', async () => {
      const { world, near, far, source, served, open } = await live(carrier)
      await using _ = world
      const talk = await open()
      // The other end's next certificate is not believed here: nothing that the session has proved changes.
      far.renew(served.id)
      near.renew(source.id)
      near.refuses = () => true
      await near.proxy.proveAgain()

      const { fields, level } = await near.line(({ message }) => UNPROVED.test(message))
      assert.equal(level, 'warn')
      assert.match(fields.reason ?? '', /CERTIFICATE_REFUSED: .*the test refuses it/)
      assert.deepEqual([fields.machine, fields.count], ['beta', 1])
      const [alarm] = near.proxy.sessionAlarms()
      assert.match(alarm?.problem ?? '', /the test refuses it/)
      assert.deepEqual([alarm?.role, alarm?.machine, alarm?.flows], ['client', 'beta', 1])
      const [flow] = near.proxy.flows()
      assert.equal(flow?.cutAtMs, alarm?.cutAtMs)
      assert.equal(new Date(flow?.cutAtMs ?? 0).toISOString(), fields.notAfter)
      assert.match(flow?.problem ?? '', /the test refuses it/)
      assert.deepEqual(near.proxy.totals().unproved, { client: 1, server: 0 })
      assert.equal(near.counts.get(FAILED('client')), 1)
      // Not again within its pause, and the flow goes on.
      await near.proxy.proveAgain()
      assert.equal(near.counts.get(FAILED('client')), 1)
      await talk()

      near.refuses = () => false
      await untilProved(near, 'warren_session_proofs_total{role="client",result="ok"}')
      await near.line(({ message }) => message === 'renewed certificates are proved again')
      assert.deepEqual(near.proxy.sessionAlarms(), [])
      assert.deepEqual([near.proxy.flows()[0]?.problem, near.proxy.flows()[0]?.cutAtMs], ['', 0])
      await talk()
    })

    it('that the other end refuses is told there as well', async () => {
      const { world, near, far, source, open } = await live(carrier)
      await using _ = world
      const talk = await open()
      near.renew(source.id)
      far.refuses = () => true
      await near.proxy.proveAgain()
      const here = await near.line(({ message }) => UNPROVED.test(message))
      assert.match(here.fields.reason ?? '', /CERTIFICATE_REFUSED: .*the test refuses it/)
      const there = await far.line(({ message }) => UNPROVED.test(message))
      assert.equal(there.level, 'warn')
      assert.deepEqual([there.fields.machine, there.fields.source], ['alpha', 'dev.test.client.default.alpha'])
      const [alarm] = far.proxy.sessionAlarms()
      assert.deepEqual([alarm?.role, alarm?.machine, alarm?.flows], ['server', 'alpha', 1])
      assert.match(far.proxy.flows()[0]?.problem ?? '', /the test refuses it/)
      assert.deepEqual(far.proxy.totals().unproved, { client: 0, server: 1 })
      assert.equal(far.counts.get(FAILED('server')), 1)
      await talk()
    })

    it('leaves its flows where they are, and new ones get a session of their own', async () => {
      const { world, near, open } = await live(carrier)
      await using _ = world
      const before = await open()
      assert.equal(near.proxy.sessions(), 1)
      // Our own certificate stays the same, so that nothing else asks for a new session.
      near.isReplaced = () => true
      near.refuses = () => true
      await untilProved(near, FAILED('client'))
      near.refuses = () => false
      const after = await open()
      assert.equal(near.proxy.sessions(), 2)
      await before()
      await after()
    })
  })
}

describe('attempts to prove', () => {
  it('come less and less often, and more often again where little time is left', () => {
    const attempts = new ProofAttempts()
    const hour = 3_600_000
    const pauses: number[] = []
    let now = 0
    for (let failure = 1; failure <= 8; failure += 1) {
      attempts.failed('no', now, hour)
      const since = now
      while (!attempts.isDue(now)) now += 500
      pauses.push((now - since) / 1_000)
    }
    assert.deepEqual(pauses, [1, 2, 4, 8, 16, 32, 60, 60])
    attempts.failed('no', now, 16_000)
    assert.deepEqual([attempts.isDue(now + 1_999), attempts.isDue(now + 2_000)], [false, true])
    attempts.failed('no', now, 10)
    assert.deepEqual([attempts.isDue(now + 999), attempts.isDue(now + 1_000)], [false, true])
  })

  it('are each told while they are few, then each time that they have doubled', () => {
    const attempts = new ProofAttempts()
    const told = Array.from({ length: 17 }, () => attempts.failed('no', 0, 1_000))
    assert.deepEqual(
      told.flatMap((isTold, index) => (isTold ? [index + 1] : [])),
      [1, 2, 4, 8, 16]
    )
    attempts.worked(0)
    assert.deepEqual([attempts.failures, attempts.problem], [0, ''])
    assert.equal(attempts.failed('no', 0, 1_000), true)
  })

  it('have longer for an answer the more time is left, since it may wait behind bulk data', () => {
    assert.deepEqual([0, 80_000, 3_600_000].map(proofTimeoutMs), [5_000, 10_000, 60_000])
  })
})
