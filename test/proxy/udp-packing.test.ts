import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { describe, it, type TestContext } from 'node:test'
import fc from 'fast-check'
import { silentLogger } from '../../src/core/index.ts'
import type { Exporter } from '../../src/proxy/aead/index.ts'
import { PacketChannel, type PacketFlow } from '../../src/proxy/datagram/packet/channel.ts'
import { eachDatagram, HEADER_BYTES, Kind, SIZES } from '../../src/proxy/datagram/packet/format.ts'
import { LinkOpener } from '../../src/proxy/datagram/packet/opener.ts'
import { PacketPort } from '../../src/proxy/datagram/packet/port.ts'
import { LinkSealer } from '../../src/proxy/datagram/packet/sealer.ts'
import { growBuffers } from '../../src/udp/index.ts'

const nowMs = (): number => performance.now()
const exporter: Exporter = (bytes, label, context) =>
  createHmac('sha512', 's').update(label).update('\0').update(context).digest().subarray(0, bytes)

/** A channel whose other end is this test, which understands what `features` says and answers pings. */
async function withPeer(t: TestContext, features: number) {
  const peer: Socket = createSocket('udp4').bind(0, '127.0.0.1')
  await once(peer, 'listening')
  growBuffers(peer, 4 * 1024 * 1024)
  t.after(() => peer.close())
  const free = createSocket('udp4').bind(0, '127.0.0.1')
  await once(free, 'listening')
  const own = free.address().port
  await new Promise<void>(resolve => free.close(() => resolve()))
  const port = new PacketPort(silentLogger)
  await port.bind({ host: '127.0.0.1', port: own })
  t.after(() => port.close())
  const remotes = [{ address: '127.0.0.1', port: peer.address().port }]
  const common = { exporter, machine: 'm', nowMs, log: silentLogger }
  const channel = PacketChannel.open({ ...common, port, role: 'client', remotes })
  assert.ok(channel !== undefined)
  t.after(() => channel.close())

  const [opener, sealer] = [new LinkOpener(exporter, 'client'), new LinkSealer(exporter, 'server', nowMs)]
  const send = (content: Buffer): void => peer.send(sealer.seal(content) ?? Buffer.alloc(0), own, '127.0.0.1')
  const contents: Buffer[] = []
  let wake = Promise.withResolvers<void>()
  let answersPings = true
  peer.on('message', packet => {
    assert.ok(packet.length <= SIZES[1], 'no packet is larger than the path')
    const content = opener.open(packet)
    assert.ok(content !== undefined)
    if (content[0] === Kind.Ping) {
      const pong = Buffer.from(content)
      pong[0] = Kind.Pong
      pong[9] = features
      if (answersPings) send(pong)
      return
    }
    contents.push(Buffer.from(content))
    wake.resolve()
  })
  /** The payloads of each packet, once there are so many payloads in all. */
  const packets = async (count: number): Promise<readonly (readonly Buffer[])[]> => {
    for (;;) {
      const all = contents.map(content => {
        const got: Buffer[] = []
        eachDatagram(content, payload => got.push(payload))
        return got
      })
      if (all.flat().length >= count) return all
      wake = Promise.withResolvers()
      await wake.promise
    }
  }
  const up = async (): Promise<void> => {
    while (!channel.isUp) await new Promise(resolve => setTimeout(resolve, 5))
    answersPings = false
  }
  return { channel, port, contents, packets, send, up }
}

/** A flow that notes what it gets and what was dropped. */
function flow() {
  const got: Buffer[] = []
  const drops: (readonly [datagrams: number, bytes: number])[] = []
  let arrived = Promise.withResolvers<void>()
  const events: PacketFlow = {
    datagram: payload => {
      got.push(Buffer.from(payload))
      arrived.resolve()
    },
    dropped: (...what) => drops.push(what)
  }
  const received = async (count: number): Promise<readonly Buffer[]> => {
    while (got.length < count) {
      arrived = Promise.withResolvers()
      await arrived.promise
    }
    return got
  }
  return { events, drops, received }
}

describe('datagrams of one turn', () => {
  it('share a packet as long as they fit in it and are of one flow', async t => {
    const { channel, packets, contents, up } = await withPeer(t, 1)
    channel.attach(1, flow().events)
    channel.attach(3, flow().events)
    await up()
    const sent = [1, 1, 1, 3, 3, 1].map((stream, index) => ({ stream, payload: Buffer.alloc(10 * index, index) }))
    for (const { stream, payload } of sent) assert.equal(channel.send(stream, payload), 'sent')
    assert.deepEqual(
      (await packets(6)).map(all => all.length),
      [3, 2, 1]
    )
    assert.deepEqual(
      (await packets(6)).flat(),
      sent.map(({ payload }) => payload)
    )
    assert.deepEqual(
      contents.map(content => [content[0], content.readUInt32BE(1)]),
      [1, 3, 1].map(stream => [Kind.Datagrams, stream])
    )
  })

  it('arrive whole and in order in packets of the path, whatever their sizes', async t => {
    const { channel, packets, up } = await withPeer(t, 1)
    channel.attach(1, flow().events)
    await up()
    const sent = Array.from({ length: 600 }, (_, index) => Buffer.alloc((index * 7) % 1_194, index))
    // In turns: the kernel of a small machine may hold no more.
    for (let at = 0; at < sent.length; at += 50) {
      for (const payload of sent.slice(at, at + 50)) assert.equal(channel.send(1, payload), 'sent')
      await packets(at + 50)
    }
    assert.deepEqual((await packets(sent.length)).flat(), sent)
  })

  it('have a packet each for an agent that does not say it opens others', async t => {
    const { channel, packets, contents, up } = await withPeer(t, 0)
    channel.attach(1, flow().events)
    await up()
    const sent = ['one', 'two', 'three'].map(text => Buffer.from(text))
    for (const payload of sent) channel.send(1, payload)
    assert.deepEqual(
      await packets(3),
      sent.map(payload => [payload])
    )
    assert.ok(contents.every(content => content[0] === Kind.Datagram))
  })

  it('that were taken and then dropped are told to their flow', async t => {
    const { channel, port, up } = await withPeer(t, 1)
    const [one, three] = [flow(), flow()]
    channel.attach(1, one.events)
    channel.attach(3, three.events)
    await up()
    let accepts = false
    let refusedLater: (() => void) | undefined
    port.send = (packet, _to, onDrop) => {
      refusedLater = () => onDrop?.dropped(packet.length)
      return accepts
    }
    for (const bytes of [10, 20, 30]) channel.send(1, Buffer.alloc(bytes))
    channel.send(3, Buffer.alloc(5))
    await new Promise(resolve => setImmediate(resolve))
    assert.deepEqual([one.drops, three.drops], [[[3, 60]], [[1, 5]]])
    accepts = true
    for (const bytes of [1, 2]) channel.send(3, Buffer.alloc(bytes))
    await new Promise(resolve => setImmediate(resolve))
    assert.equal(three.drops.length, 1)
    refusedLater?.()
    assert.deepEqual(three.drops.at(-1), [2, 3])
  })

  it('are dropped when their session ends first, and nothing is sealed after that', async t => {
    const { channel, port, up } = await withPeer(t, 1)
    const { events, drops } = flow()
    channel.attach(1, events)
    await up()
    let sent = 0
    port.send = () => {
      sent += 1
      return true
    }
    channel.send(1, Buffer.alloc(10))
    channel.close()
    channel.close()
    assert.equal(channel.send(1, Buffer.alloc(10)), undefined)
    await new Promise(resolve => setImmediate(resolve))
    assert.equal(sent, 0)
    assert.deepEqual(drops, [[1, 10]])
  })
})

describe('a packet with several datagrams', () => {
  it('is delivered in order, up to where it is cut short', async t => {
    const { channel, send, up } = await withPeer(t, 1)
    const { events, received } = flow()
    channel.attach(1, events)
    await up()
    send(Buffer.from('0400000001' + '0001aa' + '0000' + '0002bbcc' + '0003dd', 'hex'))
    send(Buffer.from('0400000001' + 'ffff', 'hex'))
    send(Buffer.from('04000000', 'hex'))
    send(Buffer.from('0400000001', 'hex'))
    send(Buffer.from('0400000007' + '0001ee', 'hex'))
    send(Buffer.from('0400000001' + '0001ff', 'hex'))
    assert.deepEqual(
      (await received(4)).map(payload => payload.toString('hex')),
      ['aa', '', 'bbcc', 'ff']
    )
  })

  it('hands on nothing from beyond its end, whatever it says', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 5, maxLength: 200 }), bytes => {
        const memory = Buffer.alloc(HEADER_BYTES + bytes.length + 100, 0xee)
        memory.set(bytes, HEADER_BYTES)
        const content = memory.subarray(HEADER_BYTES, HEADER_BYTES + bytes.length)
        content[0] = Kind.Datagrams
        eachDatagram(content, payload => {
          const start = payload.byteOffset - content.byteOffset
          assert.ok(start >= 7 && start + payload.length <= content.length)
        })
      })
    )
  })
})
