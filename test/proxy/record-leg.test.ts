import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { RecordConnection } from '../../src/proxy/fastpath/record-connection.ts'
import type { RecordConnectionEvents } from '../../src/proxy/fastpath/record-events.ts'
import { joiningLeg } from '../../src/proxy/legs/record-leg.ts'
import { Taker } from './support/taker.ts'

/** A record connection of which the test says what has left, and what becomes of it. */
class FakeConnection {
  readonly counted = { sentBytes: 0, passedBytes: 0 }
  readonly waitingBytes = 0
  isOver = false
  events: RecordConnectionEvents | undefined
  #sent: ((err?: Error) => void) | undefined

  subscribe(events: RecordConnectionEvents): void {
    this.events = events
  }

  send(bytes: Buffer): boolean {
    this.counted.sentBytes += bytes.length
    return true
  }

  end(sent: (err?: Error) => void): void {
    this.#sent = sent
  }

  pass(bytes: number): void {
    this.counted.passedBytes += bytes
    this.events?.passed?.()
  }

  passEnd(): void {
    this.#sent?.()
  }

  lose(): void {
    this.isOver = true
    this.events?.closed(new Error('it is gone'))
  }

  destroy(): void {}
}

function legOn(carriedBytes = 0) {
  const connection = new FakeConnection()
  connection.counted.sentBytes = connection.counted.passedBytes = carriedBytes
  return { connection, taker: new Taker(joiningLeg(connection as unknown as RecordConnection)) }
}

describe('a leg on a record connection', () => {
  it('is lost with it, if not all has been sent, though all has come', async () => {
    const { connection, taker } = legOn()
    taker.leg.send(Buffer.from('answer'))
    taker.leg.end()
    connection.events?.ended?.()
    connection.lose()
    assert.equal((await taker.failure()).kind, 'link')
  })

  it('is lost with it, if not all has come, though all has been sent', async () => {
    const { connection, taker } = legOn()
    taker.leg.end()
    connection.passEnd()
    connection.lose()
    assert.equal((await taker.failure()).kind, 'link')
  })

  it('has ended in order when all has been sent and all has come, whatever becomes of the connection', async () => {
    const { connection, taker } = legOn()
    taker.leg.end()
    connection.passEnd()
    connection.events?.ended?.()
    connection.lose()
    await taker.until('ended', 'finished')
    assert.deepEqual(taker.failures, [])
  })

  it('counts what has been passed on of this flow, and nothing of those before on the connection', () => {
    const { connection, taker } = legOn(1_000)
    assert.equal(taker.leg.deliveredBytes, 0)
    const reached: number[] = []
    taker.leg.send(Buffer.alloc(10))
    taker.leg.delivered(10, () => reached.push(taker.leg.deliveredBytes))
    connection.pass(9)
    assert.deepEqual([taker.leg.deliveredBytes, reached], [9, []])
    connection.pass(1)
    assert.deepEqual(reached, [10])
  })
})
