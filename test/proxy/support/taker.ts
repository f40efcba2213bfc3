import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { EventEmitter, once } from 'node:events'
import type { Cut } from '../../../src/proxy/flow/cut.ts'
import type { ByteLeg, LegEvents } from '../../../src/proxy/flow/leg.ts'
import { settled } from '../../harness/index.ts'

const PATIENCE_MS = 30_000
/** Turns of the event loop without room after which nobody is thought to read. */
const QUIET_TURNS = 100

const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

type Told = 'ended' | 'drained' | 'finished'

/** Attends to a leg and keeps what it is told. */
export class Taker implements LegEvents {
  readonly leg: ByteLeg
  readonly events: Told[] = []
  readonly failures: Cut[] = []
  readonly #parts: Buffer[] = []
  readonly #told = new EventEmitter().setMaxListeners(0)
  #isStalled = false

  constructor(leg: ByteLeg) {
    this.leg = leg
    leg.subscribe(this)
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#parts)
  }

  has(event: Told): boolean {
    return this.events.includes(event)
  }

  data(bytes: Buffer, release?: () => void): boolean {
    assert.ok(!this.has('ended') && this.failures.length === 0, 'bytes came after the end')
    this.#parts.push(Buffer.from(bytes))
    // Who reads it now finds out.
    if (release !== undefined) bytes.fill(0xee)
    release?.()
    return !this.#isStalled
  }

  ended = (): void => this.#tell('ended')
  drained = (): void => this.#tell('drained')
  finished = (): void => this.#tell('finished')

  failed(cut: Cut): void {
    this.failures.push(cut)
    this.#told.emit('told')
  }

  /** Resolves when it has been told each of these. Rejects if the leg fails instead. */
  async until(...events: readonly Told[]): Promise<void> {
    const all = async (): Promise<void> => {
      while (!events.every(event => this.has(event))) {
        const [failure] = this.failures
        if (failure !== undefined) assert.fail(`${failure.kind}: ${failure.text}`)
        await once(this.#told, 'told')
      }
    }
    await settled(all(), events.join(' and '), PATIENCE_MS)
  }

  /** Resolves with the failure of the leg. */
  async failure(): Promise<Cut> {
    const first = async (): Promise<Cut> => {
      for (;;) {
        const [failure] = this.failures
        if (failure !== undefined) return failure
        await once(this.#told, 'told')
      }
    }
    return await settled(first(), 'the leg to fail', PATIENCE_MS)
  }

  /** Reads no more: what has been read already still comes. */
  stall(): void {
    this.#isStalled = true
    this.leg.pause()
  }

  goOn(): void {
    this.#isStalled = false
    this.leg.resume()
  }

  /** Sends all of it, as there is room. */
  async pour(bytes: Buffer, chunkBytes = 50_000): Promise<void> {
    for (let at = 0; at < bytes.length; at += chunkBytes) {
      const before = this.#drains
      if (this.leg.send(bytes.subarray(at, at + chunkBytes))) continue
      while (this.#drains === before) await settled(once(this.#told, 'told'), 'room', PATIENCE_MS)
    }
  }

  /** Sends until there is no room, and none comes. Returns what was sent. */
  async pourUntilFull(chunkBytes: number, maxBytes: number): Promise<Buffer> {
    const sent: Buffer[] = []
    for (let bytes = 0; bytes < maxBytes; bytes += chunkBytes) {
      const chunk = randomBytes(chunkBytes)
      const before = this.#drains
      sent.push(chunk)
      if (this.leg.send(chunk)) continue
      for (let turns = 0; turns < QUIET_TURNS && this.#drains === before; turns += 1) await turn()
      if (this.#drains === before) break
    }
    this.events.length = 0
    return Buffer.concat(sent)
  }

  get #drains(): number {
    return this.events.filter(event => event === 'drained').length
  }

  #tell(event: Told): void {
    this.events.push(event)
    this.#told.emit('told')
  }
}
