import { EventEmitter } from 'node:events'
import type { DatagramFlow } from '../../listeners/index.ts'
import { datagramTooLarge, MAX_DATAGRAM_BYTES } from '../../wire/index.ts'
import type { CutKind, Sent } from '../flow/index.ts'
import type { DatagramEvents, DatagramLeg } from './leg.ts'

interface Events {
  message: [Buffer]
  close: []
}

/** The flow as the client of a listener of this process has it. */
class Client extends EventEmitter<Events> implements DatagramFlow {
  readonly #leg: ClientLeg

  constructor(leg: ClientLeg) {
    super()
    this.#leg = leg
  }

  send(payload: Buffer): boolean {
    return this.#leg.receive(payload)
  }

  async close(): Promise<void> {
    this.#leg.closeByClient()
  }
}

/** One client of a datagram listener of this very process: one leg of its flow, in memory. */
export class ClientLeg implements DatagramLeg {
  readonly client: DatagramFlow
  readonly #client: Client
  #events: DatagramEvents | undefined
  #isClosed = false

  constructor() {
    this.#client = new Client(this)
    this.client = this.#client
  }

  start(events: DatagramEvents): void {
    this.#events = events
    if (this.#isClosed) events.closed()
  }

  send(payload: Buffer): Sent {
    if (this.#isClosed) return 'gone'
    this.#client.emit('message', payload)
    return 'sent'
  }

  /** No more answers will come; the client is forgotten when it has been idle. */
  end(): void {}

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    // Whoever opened the flow may not listen yet.
    setImmediate(() => this.#client.emit('close'))
  }

  /** A client of datagrams has no connection that could be reset: its next datagram opens another flow. */
  abort(_kind: CutKind): void {
    this.close()
  }

  /** A datagram of the client. Throws if it is too large. */
  receive(payload: Buffer): boolean {
    if (this.#isClosed || this.#events === undefined) return false
    if (payload.length > MAX_DATAGRAM_BYTES) {
      this.#events.oversized()
      throw datagramTooLarge(payload.length)
    }
    this.#events.datagram(payload)
    return true
  }

  closeByClient(): void {
    if (this.#isClosed) return
    this.close()
    this.#events?.closed()
  }
}
