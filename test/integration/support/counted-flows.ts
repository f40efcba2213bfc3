import type { Socket } from 'node:net'
import { type AgentClient, connect, listen, type MeshDatagramSocket } from '../../../src/client/index.ts'

/** Between one number and the next of a flow. */
const TICK_MS = 25
const NUMBER_BYTES = 8

/** What became of a flow whose both ends send numbers and check those of the other. */
export interface Counted {
  readonly name: string
  /** What was wrong, first things first; at most a few. */
  readonly faults: readonly string[]
  /** Numbers that came back, and those that were sent. */
  readonly received: number
  readonly sent: number
  readonly close: () => void
}

/** Servers of both protocols at one agent that send back every number, each in its turn, or cut the connection. */
export async function serveCounted(
  client: AgentClient,
  prefix: string
): Promise<readonly { readonly address: string }[]> {
  const tcp = await listen(`${prefix}-tcp.default`, { client })
  tcp.on('connection', (socket: Socket) => {
    const numbers = new Numbers(number => {
      if (number !== numbers.count) socket.destroy()
      else socket.write(encode(number))
    })
    socket.on('error', () => {}).on('data', (chunk: Buffer) => numbers.push(chunk))
  })
  const udp = await listen(`${prefix}-udp.default`, { client, protocol: 'udp' })
  udp.on('connection', (socket: MeshDatagramSocket) => {
    socket.on('error', () => {}).on('message', payload => void socket.send(payload))
  })
  return [tcp, udp]
}

/** A flow of TCP whose every number must come back, in order. */
export async function countTcp(client: AgentClient, as: string, destination: string): Promise<Counted> {
  const socket = await connect(destination, { client, as })
  const state = new State(`tcp to ${destination}`)
  const numbers = new Numbers(number => state.came(number, state.received))
  socket
    .on('data', (chunk: Buffer) => numbers.push(chunk))
    .on('error', err => state.fault(`it failed: ${err.message}`))
    .on('close', () => state.fault('it was closed'))
  state.start(number => void socket.write(encode(number)))
  state.onClose = () => socket.destroy()
  return state
}

/** A flow of datagrams whose numbers must come back once; some may be lost, and they may overtake each other at a change of path. */
export async function countUdp(client: AgentClient, as: string, destination: string): Promise<Counted> {
  const socket = await connect(destination, { client, as, protocol: 'udp' })
  const state = new State(`udp to ${destination}`)
  const seen = new Set<number>()
  socket
    .on('message', payload => {
      const number = Number(payload.readBigUInt64BE())
      if (seen.has(number)) state.fault(`${number} came twice`)
      if (number >= state.sent) state.fault(`${number} came, which was not sent`)
      seen.add(number)
      state.received += 1
    })
    .on('error', err => state.fault(`it failed: ${err.message}`))
    .on('close', () => state.fault('it was closed'))
  state.start(number => void socket.send(encode(number)))
  state.onClose = () => void socket.close()
  return state
}

class State implements Counted {
  readonly name: string
  readonly faults: string[] = []
  received = 0
  sent = 0
  onClose: () => void = () => {}
  #timer: NodeJS.Timeout | undefined
  #isOver = false

  constructor(name: string) {
    this.name = name
  }

  start(send: (number: number) => void): void {
    this.#timer = setInterval(() => {
      send(this.sent)
      this.sent += 1
    }, TICK_MS)
  }

  came(number: number, wanted: number): void {
    if (number !== wanted) this.fault(`${number} came instead of ${wanted}`)
    this.received += 1
  }

  fault(text: string): void {
    if (!this.#isOver && this.faults.length < 5) this.faults.push(`${text}, after ${this.received}`)
  }

  close(): void {
    this.#isOver = true
    clearInterval(this.#timer)
    this.onClose()
  }
}

/** Numbers out of a stream of bytes. */
class Numbers {
  count = 0
  #rest: Buffer = Buffer.alloc(0)
  readonly #each: (number: number) => void

  constructor(each: (number: number) => void) {
    this.#each = each
  }

  push(chunk: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, chunk])
    while (this.#rest.length >= NUMBER_BYTES) {
      this.#each(Number(this.#rest.readBigUInt64BE()))
      this.count += 1
      this.#rest = this.#rest.subarray(NUMBER_BYTES)
    }
  }
}

function encode(number: number): Buffer {
  const bytes = Buffer.alloc(NUMBER_BYTES)
  bytes.writeBigUInt64BE(BigInt(number))
  return bytes
}
