import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { describe, it } from 'node:test'
import type { Cut, CutKind } from '../../../src/proxy/flow/cut.ts'
import { type ByteLeg, MAX_WAITING_BYTES } from '../../../src/proxy/flow/leg.ts'
import { type Scope, scopeOf, settled, waitFor } from '../../harness/index.ts'
import { Taker } from './taker.ts'

/** Two legs that are the ends of one connection. */
export interface LegPair {
  readonly near: ByteLeg
  readonly far: ByteLeg
  /** What is still to be done when somebody attends to both. */
  readonly begin?: () => void
  /** Breaks the connection below them, so that neither leg knows why. Resolves when the near one has noticed. */
  readonly lose: () => Promise<void>
  /** The far agent says why it has cut the flow, where it says so elsewhere than on the connection. */
  readonly say?: (kind: CutKind) => void
}

export interface LegKind {
  readonly name: string
  readonly makePair: (scope: Scope) => Promise<LegPair>
  /** What the other end learns when a leg is aborted with a reason: that, or only that it was. */
  readonly tells: 'the reason' | 'reset' | 'link' | 'an end that takes nothing'
}

const KINDS: readonly CutKind[] = ['reset', 'policy', 'trust', 'registration', 'shutdown', 'link', 'refused']
const CHUNK_BYTES = 64 * 1024
const MEGABYTE = 1024 * 1024
/** With what the system holds of a connection, by its own choice. */
const MAX_STALLED_BYTES = 32 * MEGABYTE

const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))
const sha = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')

/** What each leg of a flow must do, whatever it is made of. */
export function legCompliance({ name, makePair, tells }: LegKind): void {
  describe(`a leg that is ${name}`, () => {
    const isBrokenPipe = tells === 'an end that takes nothing'
    /** Of a leg whose other end was aborted: unix sockets have no reset, but take nothing any more. */
    const failureOf = async (far: Taker): Promise<Cut> => {
      if (isBrokenPipe) {
        await far.until('ended')
        far.leg.send(Buffer.from('x'))
      }
      const cut = await far.failure()
      assert.equal(far.has('ended'), isBrokenPipe)
      return cut
    }
    const pairOf = async (t: Parameters<typeof scopeOf>[0]) => {
      const scope = scopeOf(t)
      const pair = await makePair(scope)
      scope.defer(() => {
        for (const leg of [pair.near, pair.far]) leg.abort('link')
      })
      const [near, far] = [new Taker(pair.near), new Taker(pair.far)]
      pair.begin?.()
      near.leg.resume()
      far.leg.resume()
      return { ...pair, nearLeg: pair.near, farLeg: pair.far, near, far }
    }

    it('carries bytes both ways at once, and ends each direction for itself', async t => {
      const { near, far } = await pairOf(t)
      const [up, down] = [randomBytes(3 * MEGABYTE + 1), randomBytes(2 * MEGABYTE + 7)]
      await Promise.all([near.pour(up), far.pour(down)])
      near.leg.end()
      far.leg.end()
      for (const taker of [near, far]) await taker.until('ended', 'finished')
      assert.equal(sha(far.bytes), sha(up))
      assert.equal(sha(near.bytes), sha(down))
      for (const { leg } of [near, far]) leg.close()
    })

    for (const first of ['near', 'far'] as const) {
      it(`carries a half close from the ${first} end, and the other direction goes on`, async t => {
        const pair = await pairOf(t)
        const [one, other] = first === 'near' ? [pair.near, pair.far] : [pair.far, pair.near]
        one.leg.send(Buffer.from('question'))
        one.leg.end()
        await other.until('ended')
        assert.equal(other.bytes.toString(), 'question')
        const answer = randomBytes(MEGABYTE)
        await other.pour(answer)
        other.leg.end()
        await one.until('ended', 'finished')
        await other.until('finished')
        assert.ok(one.bytes.equals(answer))
        assert.deepEqual([one.failures, other.failures], [[], []])
      })
    }

    it('brings all that was sent before an end, with all of it still under way', async t => {
      const { near, far } = await pairOf(t)
      far.leg.pause()
      const sent = randomBytes(2 * MEGABYTE)
      for (let at = 0; at < sent.length; at += CHUNK_BYTES) near.leg.send(sent.subarray(at, at + CHUNK_BYTES))
      near.leg.end()
      await turn()
      assert.ok(!far.has('ended'))
      far.leg.resume()
      await far.until('ended')
      await near.until('finished')
      assert.ok(far.bytes.equals(sent))
    })

    it('brings one piece that is larger than any read', async t => {
      const { near, far } = await pairOf(t)
      const sent = randomBytes(MEGABYTE + 5)
      near.leg.send(sent)
      near.leg.end()
      await far.until('ended')
      assert.ok(far.bytes.equals(sent))
    })

    it('asks for a pause when its other end does not read, holds little, and goes on when it reads', async t => {
      const { near, far } = await pairOf(t)
      far.stall()
      const sent = await near.pourUntilFull(CHUNK_BYTES, MAX_STALLED_BYTES)
      assert.ok(sent.length < MAX_STALLED_BYTES, `${sent.length} bytes were taken`)
      assert.ok(near.leg.waitingBytes < 3 * MAX_WAITING_BYTES, `${near.leg.waitingBytes} bytes wait`)
      far.goOn()
      await near.until('drained')
      near.leg.end()
      await far.until('ended')
      assert.equal(far.bytes.length, sent.length)
      assert.equal(sha(far.bytes), sha(sent))
    })

    it('holds few of many small pieces that are lent to it', async t => {
      const { near, far } = await pairOf(t)
      far.stall()
      let [lent, back] = [0, 0]
      let hasRoom = true
      const release = (): void => {
        back += 1
      }
      while (hasRoom && lent < 2_000_000) {
        for (let index = 0; index < 100 && hasRoom; index += 1, lent += 1) {
          hasRoom = near.leg.send(Buffer.alloc(40), release)
        }
        await turn()
      }
      assert.ok(lent - back <= 128, `${lent - back} pieces are kept`)
      near.leg.abort('policy')
      await waitFor(() => back === lent, 'what was lent to be given back')
    })

    it('says how far what was sent has been passed on', async t => {
      const { near, far } = await pairOf(t)
      const reached: number[] = []
      near.leg.delivered(0, () => reached.push(0))
      assert.deepEqual(reached, [0])
      far.stall()
      const sent = await near.pourUntilFull(CHUNK_BYTES, MAX_STALLED_BYTES)
      const { deliveredBytes } = near.leg
      assert.ok(deliveredBytes < sent.length)
      assert.ok(deliveredBytes + near.leg.waitingBytes >= sent.length)
      near.leg.delivered(1, () => reached.push(1))
      assert.deepEqual(reached, [0, 1])
      near.leg.delivered(sent.length, () => reached.push(near.leg.deliveredBytes))
      assert.deepEqual(reached, [0, 1])
      far.goOn()
      await waitFor(() => reached.length === 3, 'all to be passed on')
      assert.equal(reached[2], sent.length)
      near.leg.end()
      await near.until('finished')
      assert.equal(near.leg.deliveredBytes, sent.length)
    })

    it('is done with what it was sent when it says that it copies', async t => {
      const { near, far } = await pairOf(t)
      if (!near.leg.copies) return t.skip('it keeps what waits')
      far.stall()
      const memory = Buffer.alloc(100_000)
      for (let index = 0; index < 20; index += 1) near.leg.send(memory.fill(index + 1))
      memory.fill(0xff)
      near.leg.end()
      far.goOn()
      await far.until('ended')
      assert.ok(far.bytes.every((byte, at) => byte === Math.floor(at / memory.length) + 1))
    })

    it('gives back what was lent to it once, when it is passed on', async t => {
      const { near, far } = await pairOf(t)
      const released: number[] = []
      for (let index = 0; index < 20; index += 1) {
        const memory = Buffer.alloc(1_000, index)
        near.leg.send(memory, () => {
          memory.fill(0xff)
          released.push(index)
        })
      }
      near.leg.end()
      await far.until('ended')
      await near.until('finished')
      assert.deepEqual(
        released.toSorted((one, other) => one - other),
        Array.from({ length: 20 }, (_, index) => index)
      )
      assert.ok(far.bytes.every((byte, at) => byte === Math.floor(at / 1_000)))
    })

    for (const kind of KINDS) {
      it(`that is aborted for the reason "${kind}" is no clean end, and its other end learns ${tells}`, async t => {
        const { near, far } = await pairOf(t)
        near.leg.send(Buffer.from('half an answer'))
        near.leg.abort(kind)
        const cut = await failureOf(far)
        assert.equal(cut.kind, tells === 'the reason' ? kind : isBrokenPipe ? 'reset' : tells)
        // Who aborts knows why, and is told nothing.
        assert.deepEqual([near.failures, near.has('ended')], [[], false])
      })
    }

    it('is aborted at once while its other end does not read', async t => {
      const { near, far } = await pairOf(t)
      far.stall()
      await near.pourUntilFull(CHUNK_BYTES, MAX_STALLED_BYTES)
      near.leg.abort('policy')
      far.goOn()
      await failureOf(far)
    })

    it('tells of a loss, and of no end', async t => {
      const { near, far, lose } = await pairOf(t)
      near.leg.send(Buffer.from('some'))
      await waitFor(() => far.bytes.length === 4, 'the bytes')
      await lose()
      const cut = await near.failure()
      assert.match(cut.kind, /^(reset|link)$/)
      assert.ok(!near.has('ended') && !near.has('finished'))
    })

    it('waits for a reason that comes after the loss, whatever else happens meanwhile', async t => {
      const { near, lose, say } = await pairOf(t)
      if (say === undefined) return t.skip('its reason comes on the connection itself, or on that of another leg')
      await lose()
      near.leg.send(Buffer.from('the workload still sends'))
      near.leg.end()
      for (let round = 0; round < 5; round += 1) await turn()
      assert.deepEqual(near.failures, [])
      say('policy')
      assert.equal((await near.failure()).kind, 'policy')
    })

    it('does each thing once, however often it is asked', async t => {
      const { near, far } = await pairOf(t)
      near.leg.send(Buffer.from('x'))
      for (const _ of [1, 2]) near.leg.end()
      let released = 0
      const release = (): void => {
        released += 1
      }
      assert.equal(near.leg.send(Buffer.from('after the end'), release), false)
      assert.equal(released, 1)
      await far.until('ended')
      for (const _ of [1, 2]) far.leg.end()
      await near.until('ended', 'finished')
      await far.until('finished')
      assert.equal(far.bytes.toString(), 'x')
      for (const { leg } of [near, far]) {
        for (const _ of [1, 2]) leg.close()
        for (const _ of [1, 2]) leg.abort('reset')
        leg.pause()
        leg.resume()
      }
      await turn()
      assert.deepEqual([near.failures, far.failures], [[], []])
      assert.deepEqual(
        [near.events, far.events].map(all => all.filter(one => one !== 'drained').sort()),
        [
          ['ended', 'finished'],
          ['ended', 'finished']
        ]
      )
    })

    it('says nothing once it is aborted', async t => {
      const { near, far } = await pairOf(t)
      for (const _ of [1, 2]) near.leg.abort('policy')
      near.leg.end()
      near.leg.close()
      near.leg.resume()
      far.leg.send(Buffer.from('too late'))
      await far.failure()
      await turn()
      assert.deepEqual([near.events, near.failures, near.bytes.length], [[], [], 0])
      assert.equal(far.failures.length, 1)
      far.leg.abort('policy')
      await settled(turn(), 'the turn')
    })
  })
}
