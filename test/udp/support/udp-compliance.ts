import assert from 'node:assert/strict'
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { describe, it, type TestContext } from 'node:test'
import { growBuffers, type Remote, type UdpEndpoint } from '../../../src/udp/index.ts'

const MAX_BYTES = 65_507

/** One way to use a socket of UDP. */
export interface EndpointKind {
  readonly name: string
  /** Why it cannot be tried here. */
  readonly skip?: string
  readonly over: (socket: Socket) => UdpEndpoint
}

async function bound(t: TestContext, type: 'udp4' | 'udp6' = 'udp4'): Promise<Socket> {
  const socket = createSocket(type)
  socket.on('error', () => {})
  socket.bind(0, type === 'udp4' ? '127.0.0.1' : '::')
  await once(socket, 'listening')
  growBuffers(socket, 4 * 1024 * 1024)
  t.after(() => {
    try {
      socket.close()
    } catch {
      // The test has closed it.
    }
  })
  return socket
}

const placeOf = (socket: Socket): Remote => ({ address: '127.0.0.1', port: socket.address().port })

/** Resolves with so many datagrams, as text of their bytes. */
function collect(endpoint: UdpEndpoint, count: number, maxBytes = MAX_BYTES): Promise<readonly Buffer[]> {
  const got: Buffer[] = []
  return new Promise(resolve => {
    endpoint.listen(maxBytes, payload => {
      got.push(Buffer.from(payload))
      if (got.length === count) resolve(got)
    })
  })
}

/** Datagrams of these sizes, none like its neighbour. */
const payloads = (sizes: readonly number[]): readonly Buffer[] =>
  sizes.map((size, index) => Buffer.alloc(size, (index % 250) + 1))

/** What each endpoint must do, by whatever calls it does it. */
export function udpCompliance({ name, skip, over }: EndpointKind): void {
  describe(`a UDP endpoint ${name}`, { ...(skip === undefined ? {} : { skip }) }, () => {
    async function pair(t: TestContext) {
      const [near, far] = [await bound(t), await bound(t)]
      return { near: over(near), far: over(far), nearSocket: near, farSocket: far, to: placeOf(far) }
    }

    it('carries datagrams of all sizes, each whole and in order', async t => {
      const { near, far, to } = await pair(t)
      const sent = payloads([1, 0, 512, 512, 1_452, 1_453, 1_453, 65_507, 0, 0, 65_507, 3])
      const arrived = collect(far, sent.length)
      for (const payload of sent) assert.equal(near.send(payload, to), true)
      assert.deepEqual(await arrived, sent)
    })

    it('carries more in one turn than fits in one call, runs of one size among them', async t => {
      const { near, far, to } = await pair(t)
      const sizes = Array.from({ length: 400 }, (_, index) => (index % 71 === 70 ? 300 : index < 350 ? 500 : 501))
      const sent = payloads(sizes)
      const arrived = collect(far, sent.length)
      for (const payload of sent) near.send(payload, to)
      assert.deepEqual(await arrived, sent)
    })

    it('keeps no reference to what it took', async t => {
      const { near, far, to } = await pair(t)
      const arrived = collect(far, 2)
      const memory = Buffer.from('first')
      near.send(memory, to)
      memory.write('other')
      near.send(memory, to)
      assert.deepEqual((await arrived).map(String), ['first', 'other'])
    })

    it('says who sent, and answers to it, also over IPv4 to a socket of IPv6', async t => {
      const { near, nearSocket } = await pair(t)
      const socket = await bound(t, 'udp6')
      const far = over(socket)
      const seen: Remote[] = []
      far.listen(MAX_BYTES, (payload, from) => {
        seen.push(from())
        far.send(payload, from())
      })
      const arrived = collect(near, 80)
      for (let index = 0; index < 80; index += 1) near.send(Buffer.of(index), placeOf(socket))
      assert.deepEqual(
        (await arrived).map(payload => payload[0]),
        Array.from({ length: 80 }, (_, index) => index)
      )
      assert.equal(seen.length, 80)
      for (const from of seen) assert.deepEqual({ ...from }, placeOf(nearSocket))
    })

    it('drops what is longer than it was asked for, and nothing else', async t => {
      const { near, far, to } = await pair(t)
      const arrived = collect(far, 60, 100)
      for (let index = 0; index < 60; index += 1) {
        near.send(Buffer.alloc(101 + index * 50), to)
        near.send(Buffer.alloc(100, index), to)
      }
      assert.deepEqual(
        (await arrived).map(payload => [payload.length, payload[0]]),
        Array.from({ length: 60 }, (_, index) => [100, index])
      )
    })

    it('sends what it took before it closes, and takes no more', async t => {
      const { near, far, to } = await pair(t)
      const arrived = collect(far, 3)
      for (const text of ['one', 'two', 'three']) near.send(Buffer.from(text), to)
      near.close()
      near.close()
      assert.equal(near.send(Buffer.from('late'), to), false)
      assert.deepEqual((await arrived).map(String), ['one', 'two', 'three'])
    })

    it('sends a part of a larger memory, and nothing beside it', async t => {
      const { near, far, to } = await pair(t)
      const arrived = collect(far, 2)
      const memory = Buffer.from('before|payload|behind')
      near.send(memory.subarray(7, 14), to)
      near.send(new Uint8Array(memory.buffer, memory.byteOffset + 15, 6), to)
      assert.deepEqual((await arrived).map(String), ['payload', 'behind'])
    })

    it('closes its socket once, and takes nothing for one that was closed by somebody else', async t => {
      const { near, far, nearSocket, farSocket, to } = await pair(t)
      const closed = [once(nearSocket, 'close'), once(farSocket, 'close')]
      near.close()
      near.close()
      farSocket.close()
      await Promise.all(closed)
      assert.equal(far.send(Buffer.from('x'), to), false)
      far.close()
      near.close()
    })

    it('delivers nothing after it was closed, also in the middle of a batch', async t => {
      const { near, far, to } = await pair(t)
      let delivered = 0
      const closed = new Promise<void>(resolve => {
        far.listen(MAX_BYTES, () => {
          delivered += 1
          if (delivered < 3) return
          far.close()
          resolve()
        })
      })
      for (let index = 0; index < 50; index += 1) near.send(Buffer.of(index), to)
      await closed
      await new Promise(resolve => setImmediate(resolve))
      assert.equal(delivered, 3)
    })

    it('goes on when a connected server was away', async t => {
      const { farSocket: server } = await pair(t)
      const { port } = server.address()
      server.close()
      await once(server, 'close')
      const connected = await new Promise<UdpEndpoint>(resolve => {
        const socket = createSocket('udp4')
        socket.on('error', () => {})
        t.after(() => socket.close())
        socket.connect(port, '127.0.0.1', () => resolve(over(socket)))
      })
      for (let index = 0; index < 10; index += 1) connected.send(Buffer.from('lost'))
      const back = createSocket('udp4')
      t.after(() => back.close())
      back.bind(port, '127.0.0.1')
      await once(back, 'listening')
      const heard = once(back, 'message')
      const timer = setInterval(() => connected.send(Buffer.from('heard')), 5)
      t.after(() => clearInterval(timer))
      await heard
    })
  })
}
