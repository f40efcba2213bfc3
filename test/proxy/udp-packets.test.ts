import assert from 'node:assert/strict'
import { createHmac, randomBytes } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import fc from 'fast-check'
import { silentLogger } from '../../src/core/index.ts'
import type { Exporter } from '../../src/proxy/aead/index.ts'
import { CapsuleParser, encodeCapsule } from '../../src/proxy/datagram/capsules.ts'
import { PacketChannel, type PacketFlow } from '../../src/proxy/datagram/packet/channel.ts'
import { decodeHeader, HEADER_BYTES, SEAL_BYTES } from '../../src/proxy/datagram/packet/format.ts'
import { PacketOpener, PacketSealer, splitMaterial } from '../../src/proxy/datagram/packet/keys.ts'
import { LinkOpener } from '../../src/proxy/datagram/packet/opener.ts'
import { PacketPort } from '../../src/proxy/datagram/packet/port.ts'
import { REPLAY_WINDOW, ReplayWindow } from '../../src/proxy/datagram/packet/replay-window.ts'
import { LinkSealer } from '../../src/proxy/datagram/packet/sealer.ts'
import { DatagramParser, encodeDatagram, MAX_DATAGRAM_BYTES } from '../../src/wire/index.ts'

const nowMs = (): number => performance.now()

/** Both ends of a session export the same. */
function exporterOf(secret: string): Exporter {
  return (bytes, label, context) => {
    const mac = createHmac('sha512', secret).update(label).update('\0').update(context).digest()
    return mac.subarray(0, bytes)
  }
}

describe('the packet format', () => {
  const text = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'protocol', 'datagrams.md'), 'utf8')
  const field = (name: string): Buffer =>
    Buffer.from(new RegExp(`^ {4}${name} +([0-9a-f]+)$`, 'm').exec(text)?.[1] ?? '', 'hex')
  const keys = splitMaterial(field('material'))
  const vectors = [...text.matchAll(/^\| (\d+) \| (\d+) \| `([0-9a-f]+)` \| `([0-9a-f]+)` \|$/gm)]

  it('is that of the test vectors in the documentation, sealing and opening', () => {
    assert.equal(vectors.length, 5)
    const [sealer, opener] = [new PacketSealer(keys), new PacketOpener(keys)]
    for (const [, epoch, counter, content = '', packet = ''] of vectors) {
      const bytes = Buffer.concat([Buffer.alloc(HEADER_BYTES), Buffer.from(content, 'hex'), Buffer.alloc(SEAL_BYTES)])
      sealer.seal(bytes, field('tag'), Number(epoch), Number(counter))
      assert.equal(bytes.toString('hex'), packet)
      assert.equal(opener.open(bytes)?.toString('hex'), content)
    }
  })

  it('lets no change of a single bit pass', () => {
    const packet = Buffer.from(vectors[0]?.[4] ?? '', 'hex')
    const opener = new PacketOpener(keys)
    for (let bit = 0; bit < packet.length * 8; bit += 1) {
      const changed = Buffer.from(packet)
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      assert.equal(opener.open(changed), undefined, `bit ${bit}`)
    }
  })

  it('never throws at bytes from the network', () => {
    const opener = new LinkOpener(exporterOf('any'), 'client')
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), bytes => {
        decodeHeader(Buffer.from(bytes))
        opener.open(Buffer.from(bytes))
      })
    )
  })
})

describe('the replay window', () => {
  /** What it must answer, without bounds on memory. */
  class Model {
    readonly seen = new Set<number>()
    highest = -1
    accept(counter: number): boolean {
      if (this.seen.has(counter) || counter <= this.highest - REPLAY_WINDOW) return false
      this.seen.add(counter)
      this.highest = Math.max(this.highest, counter)
      return true
    }
  }

  it('lets every counter through once and none that is too old, in whatever order they come', () => {
    const near = fc.integer({ min: -REPLAY_WINDOW - 50, max: 200 })
    const far = fc.integer({ min: 0, max: 3 * REPLAY_WINDOW })
    fc.assert(
      fc.property(fc.array(fc.oneof({ weight: 5, arbitrary: near }, far), { maxLength: 400 }), steps => {
        const window = new ReplayWindow()
        const model = new Model()
        for (const step of steps) {
          const counter = Math.max(0, model.highest + step)
          assert.equal(window.accept(counter), model.accept(counter), `counter ${counter}`)
        }
      })
    )
  })

  it('takes any order within its size, and each only once', () => {
    const order = fc.shuffledSubarray(
      Array.from({ length: REPLAY_WINDOW }, (_, index) => index),
      { minLength: REPLAY_WINDOW }
    )
    fc.assert(
      fc.property(order, counters => {
        const window = new ReplayWindow()
        assert.ok(counters.every(counter => window.accept(counter)))
        assert.ok(!counters.some(counter => window.accept(counter)))
      }),
      { numRuns: 20 }
    )
  })

  it('is not moved by a forged counter', () => {
    const exporter = exporterOf('s')
    const sealer = new LinkSealer(exporter, 'client', nowMs)
    const opener = new LinkOpener(exporter, 'client')
    const packets = Array.from({ length: 3 }, () => sealer.seal(Buffer.of(1)) ?? Buffer.alloc(0))
    const forged = Buffer.from(packets[0] ?? '')
    forged.writeUInt32BE(0x7fff_ffff, 14)
    assert.equal(opener.open(forged), undefined)
    for (const packet of packets) assert.ok(opener.open(Buffer.from(packet)))
    for (const packet of packets) assert.equal(opener.open(packet), undefined)
  })
})

describe('new keys', () => {
  it('come after so many packets, and the receiver follows without a word', () => {
    const exporter = exporterOf('s')
    const sealer = new LinkSealer(exporter, 'server', nowMs, { packets: 10, ageMs: 1e9 })
    const opener = new LinkOpener(exporter, 'server')
    for (let index = 0; index < 3_000; index += 1) {
      const packet = sealer.seal(Buffer.from(`${index}`)) ?? Buffer.alloc(0)
      assert.equal(opener.open(packet)?.toString(), `${index}`)
      sealer.confirm(sealer.epoch)
    }
    assert.ok(sealer.epoch > 256, 'also beyond what one byte counts')
  })

  it('come after some time', () => {
    let now = 0
    const sealer = new LinkSealer(exporterOf('s'), 'server', () => now, { packets: 1e9, ageMs: 1_000 })
    sealer.seal(Buffer.of(1))
    sealer.confirm(0)
    now = 1_000
    sealer.seal(Buffer.of(1))
    assert.equal(sealer.epoch, 1)
  })

  it('do not come before the other end has answered, so that it is never left behind', () => {
    const exporter = exporterOf('s')
    const sealer = new LinkSealer(exporter, 'server', nowMs, { packets: 10, ageMs: 0 })
    for (let index = 0; index < 100; index += 1) sealer.seal(Buffer.of(1))
    assert.equal(sealer.epoch, 0)
    sealer.confirm(0)
    assert.ok(new LinkOpener(exporter, 'server').open(sealer.seal(Buffer.of(1)) ?? Buffer.alloc(0)))
    assert.equal(sealer.epoch, 1)
  })

  it('leave packets of the epoch before readable, which overtook nobody', () => {
    const exporter = exporterOf('s')
    const sealer = new LinkSealer(exporter, 'server', nowMs, { packets: 2, ageMs: 1e9 })
    const opener = new LinkOpener(exporter, 'server')
    const early = [sealer.seal(Buffer.of(1)), sealer.seal(Buffer.of(2))]
    sealer.confirm(0)
    const late = sealer.seal(Buffer.of(3))
    assert.ok(opener.open(late ?? Buffer.alloc(0)))
    for (const packet of early) assert.ok(opener.open(Buffer.from(packet ?? [])))
    for (const packet of early) assert.equal(opener.open(packet ?? Buffer.alloc(0)), undefined)
  })

  it('differ by direction, epoch and session', () => {
    const packet = new LinkSealer(exporterOf('s'), 'client', nowMs).seal(Buffer.of(1)) ?? Buffer.alloc(0)
    assert.equal(new LinkOpener(exporterOf('s'), 'server').open(Buffer.from(packet)), undefined)
    assert.equal(new LinkOpener(exporterOf('t'), 'client').open(Buffer.from(packet)), undefined)
    const asNext = Buffer.from(packet)
    asNext[1] = 1
    assert.equal(new LinkOpener(exporterOf('s'), 'client').open(asNext), undefined)
  })
})

const flowOf = (datagram: (payload: Buffer) => void): PacketFlow => ({ datagram, dropped: () => {} })

describe('a datagram path', () => {
  async function pair(t: TestContext, limits = { packets: 2 ** 24, ageMs: 1e9 }) {
    const ports = [new PacketPort(silentLogger), new PacketPort(silentLogger)] as const
    const numbers: number[] = []
    for (const port of ports) {
      const free = createSocket('udp4').bind(0, '127.0.0.1')
      await once(free, 'listening')
      const number = free.address().port
      await new Promise<void>(resolve => free.close(() => resolve()))
      await port.bind({ host: '127.0.0.1', port: number })
      numbers.push(number)
    }
    const exporter = exporterOf(randomBytes(8).toString('hex'))
    const common = { exporter, machine: 'm', nowMs, log: silentLogger, limits }
    const remotes = [{ address: '127.0.0.1', port: numbers[1] ?? 0 }]
    const client = PacketChannel.open({ ...common, port: ports[0], role: 'client', remotes })
    const server = PacketChannel.open({ ...common, port: ports[1], role: 'server', remotes: [] })
    assert.ok(client !== undefined && server !== undefined)
    t.after(() => {
      for (const channel of [client, server]) channel.close()
      for (const port of ports) port.close()
    })
    return { client, server, numbers, exporter }
  }

  async function up(...channels: readonly PacketChannel[]): Promise<void> {
    while (!channels.every(channel => channel.isUp)) await new Promise(resolve => setTimeout(resolve, 5))
  }

  it('is found by both ends, carries what fits, and calls the rest oversize', async t => {
    const { client, server } = await pair(t)
    const received: string[] = []
    server.attach(
      1,
      flowOf(payload => void server.send(1, payload))
    )
    const answered = new Promise<void>(resolve => {
      const onDatagram = (payload: Buffer): void => {
        received.push(String(payload))
        resolve()
      }
      client.attach(1, flowOf(onDatagram))
    })
    assert.equal(client.send(1, Buffer.from('too early')), undefined)
    await up(client, server)
    assert.equal(client.send(1, Buffer.from('hello')), 'sent')
    assert.equal(client.send(1, Buffer.alloc(1_500)), 'oversize')
    await answered
    assert.deepEqual(received, ['hello'])
  })

  it('goes on over many changes of keys', async t => {
    const { client, server } = await pair(t, { packets: 5, ageMs: 50 })
    let echoed = 0
    server.attach(
      1,
      flowOf(payload => void server.send(1, payload))
    )
    const count = (): void => {
      echoed += 1
    }
    client.attach(1, flowOf(count))
    await up(client, server)
    while (echoed < 300) {
      client.send(1, Buffer.from('again'))
      await new Promise(resolve => setTimeout(resolve, 5))
    }
  })

  it('answers nothing to strangers: garbage, forgeries, replays and packets turned back', async t => {
    const { client, server, numbers, exporter } = await pair(t)
    let delivered = 0
    const count = (): void => {
      delivered += 1
    }
    server.attach(1, flowOf(count))
    client.attach(
      1,
      flowOf(() => {})
    )
    await up(client, server)
    const stranger = createSocket('udp4').bind(0, '127.0.0.1')
    await once(stranger, 'listening')
    t.after(() => stranger.close())
    let answers = 0
    stranger.on('message', () => {
      answers += 1
    })
    const send = (bytes: Buffer): Promise<unknown> =>
      new Promise(resolve => stranger.send(bytes, numbers[1], '127.0.0.1', resolve))
    // What the session itself would seal: its tag is right, and its counters were used long ago.
    const replayed = new LinkSealer(exporter, 'client', nowMs)
    const turned = new LinkSealer(exporter, 'server', nowMs)
    const forger = new LinkSealer(exporterOf('other'), 'client', nowMs)
    const ping = Buffer.alloc(1_000)
    ping[0] = 1
    for (let index = 0; index < 50; index += 1) {
      const packet = replayed.seal(Buffer.from([3, 0, 0, 0, 1, 9])) ?? Buffer.alloc(0)
      if (index === 0) await send(packet)
      await send(turned.seal(ping) ?? Buffer.alloc(0))
      const forged = forger.seal(ping) ?? Buffer.alloc(0)
      packet.copy(forged, 2, 2, 10)
      await send(forged)
      await send(packet.subarray(0, Math.min(index, packet.length - 1)))
      await send(randomBytes(index * 20))
    }
    // The path still works, so all that came before has been looked at.
    const after = new Promise<void>(resolve => {
      server.attach(
        3,
        flowOf(() => resolve())
      )
    })
    client.send(3, Buffer.from('still here'))
    await after
    assert.equal(answers, 0)
    assert.equal(delivered, 0)
  })
})

describe('framing', () => {
  it('of datagrams and capsules survives any cut of the stream', () => {
    const payloads = fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 20 })
    fc.assert(
      fc.property(payloads, fc.array(fc.integer({ min: 1, max: 70 }), { minLength: 1 }), (sent, cuts) => {
        for (const kind of ['framed', 'capsules'] as const) {
          const got: Buffer[] = []
          const parser = new DatagramParser()
          const capsules = new CapsuleParser({ datagram: payload => got.push(payload), oversized: () => assert.fail() })
          const stream = Buffer.concat(sent.map(kind === 'framed' ? encodeDatagram : encodeCapsule))
          for (let at = 0, cut = 0; at < stream.length; cut += 1) {
            const piece = stream.subarray(at, at + (cuts[cut % cuts.length] ?? 1))
            at += piece.length
            if (kind === 'framed') parser.push(piece, payload => got.push(payload))
            else capsules.push(piece)
          }
          assert.deepEqual(
            got.map(payload => payload.toString('hex')),
            sent.map(payload => Buffer.from(payload).toString('hex'))
          )
        }
      })
    )
  })

  it('skips capsules of other types and contexts, and those that are too large, without holding them', () => {
    const got: string[] = []
    let oversized = 0
    const parser = new CapsuleParser({
      datagram: payload => got.push(String(payload)),
      oversized: () => {
        oversized += 1
      }
    })
    parser.push(Buffer.from('403703666f6f', 'hex'))
    parser.push(encodeCapsule(Buffer.from('one')))
    parser.push(Buffer.from('000304', 'hex'))
    parser.push(Buffer.from('xx'))
    const large = Buffer.alloc(5 + MAX_DATAGRAM_BYTES + 2)
    large.writeUInt32BE(0x8000_0000 + MAX_DATAGRAM_BYTES + 2, 1)
    parser.push(large)
    parser.push(encodeCapsule(Buffer.from('two')))
    assert.deepEqual(got, ['one', 'two'])
    assert.equal(oversized, 1)
    // A length of 2^62 - 1 is skipped for ever, and held not at all.
    parser.push(Buffer.from('40ffffffffffffffffff', 'hex'))
    for (let index = 0; index < 100; index += 1) parser.push(Buffer.alloc(65_536))
    assert.deepEqual(got, ['one', 'two'])
  })
})
