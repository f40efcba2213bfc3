import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { silentMetrics } from '../../src/core/index.ts'
import { parseAddress } from '../../src/identity/index.ts'
import type { DatagramEvents, DatagramLeg } from '../../src/proxy/datagram/leg.ts'
import { spliceDatagrams } from '../../src/proxy/datagram/splice.ts'
import type { Sent } from '../../src/proxy/flow/drops.ts'
import { Flow } from '../../src/proxy/flow/flow.ts'

class FakeLeg implements DatagramLeg {
  events: DatagramEvents | undefined
  answer: Sent = 'sent'
  sent = 0
  isClosed = false
  start = (events: DatagramEvents): void => {
    this.events = events
  }
  send = (): Sent => {
    this.sent += 1
    return this.answer
  }
  end(): void {}
  close = (): void => {
    this.isClosed = true
  }
  abort = (): void => {
    this.isClosed = true
  }
}

/** Lets so many through. */
function upTo(count: number): () => boolean {
  let left = count
  return () => {
    left -= 1
    return left >= 0
  }
}

function spliced(buckets: ReadonlyArray<() => boolean> = []) {
  const flow = new Flow({
    id: 'f',
    direction: 'outbound',
    source: parseAddress('dev.test.client.default.m'),
    sourceId: undefined,
    sourceMachine: 'm',
    protocol: 'udp',
    carrier: 'direct',
    openedAtMs: 0,
    startedAtMs: 0
  })
  flow.buckets = buckets
  const [source, destination] = [new FakeLeg(), new FakeLeg()]
  const over = spliceDatagrams(flow, source, destination, { idleMs: 60_000, metrics: silentMetrics })
  return { flow, source, destination, over }
}

describe('the books of a flow of datagrams', () => {
  it('count what passes, and take back what the system dropped after all', async () => {
    const { flow, source, destination, over } = spliced()
    for (let index = 0; index < 5; index += 1) source.events?.datagram(Buffer.alloc(100))
    for (let index = 0; index < 3; index += 1) destination.events?.datagram(Buffer.alloc(10))
    destination.events?.dropped(2, 200)
    source.events?.dropped(1, 10)
    assert.deepEqual([flow.datagramsOut, flow.bytesOut], [3, 300])
    assert.deepEqual([flow.datagramsIn, flow.bytesIn], [2, 20])
    assert.equal(flow.drops.full, 3)
    assert.equal(flow.dropped, 3)
    destination.events?.closed()
    await over
  })

  it('count a datagram that a leg does not take, and one above the rate, once each and with no other', async () => {
    const { flow, source, destination, over } = spliced([upTo(10), upTo(3)])
    destination.answer = 'full'
    for (let index = 0; index < 5; index += 1) source.events?.datagram(Buffer.alloc(1))
    assert.deepEqual({ ...flow.drops }, { full: 3, gone: 0, 'too large': 0, oversize: 0, rate: 2 })
    assert.equal(destination.sent, 3)
    assert.equal(flow.datagramsOut, 0)
    destination.events?.closed()
    await over
  })

  it('are closed by a cut: what comes in the same batch goes nowhere', async () => {
    const { flow, source, destination, over } = spliced()
    source.events?.datagram(Buffer.alloc(1))
    flow.cut({ kind: 'policy', text: 'denied' })
    source.events?.datagram(Buffer.alloc(1))
    assert.equal(destination.sent, 1)
    assert.equal(flow.datagramsOut, 1)
    assert.equal((await over)?.kind, 'policy')
  })
})
