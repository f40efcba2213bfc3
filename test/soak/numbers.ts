import type { Socket } from 'node:net'
import { type AgentClient, connect, listen, type MeshDatagramSocket, type MeshServer } from '../../src/client/index.ts'

const TICK_MS = 50
const NUMBER_BYTES = 8
/** Numbers of one write of TCP; a datagram has one. */
const MAX_BURST = 1_024
/** Numbers of TCP that may be on their way: a stalled flow makes this process wait, not grow. */
const MAX_UNANSWERED = 16 * MAX_BURST
/** So many datagrams later, one that comes is no late one any more. */
const MAX_LATE = 4_096

export type Protocol = 'tcp' | 'udp'

/** A connection whose every number must come back, in order and once; datagrams may be lost and overtake each other. */
export interface Talk {
  readonly received: number
  /** Why it ended. Never rejects. */
  readonly ended: Promise<string>
  close(): void
}

/** A server that sends back every number, each in its turn, and destroys a connection with another one. */
export async function serveNumbers(
  client: AgentClient,
  address: string,
  protocol: Protocol
): Promise<Pick<MeshServer, 'close'>> {
  if (protocol === 'udp') {
    const server = await listen(address, { client, protocol })
    server.on('connection', (socket: MeshDatagramSocket) => {
      socket.on('error', () => {}).on('message', payload => void socket.send(payload))
    })
    return server
  }
  const server = await listen(address, { client })
  server.on('connection', (socket: Socket) => {
    const numbers = new Numbers()
    socket
      .on('error', () => {})
      .on('data', (chunk: Buffer) => {
        if (numbers.push(chunk) !== undefined) return void socket.destroy()
        if (!socket.write(chunk)) socket.pause().once('drain', () => socket.resume())
      })
      .on('end', () => socket.end())
  })
  return server
}

/** Connects and begins to count. Rejects as `connect` does. */
export async function startTalk(
  client: AgentClient,
  as: string,
  destination: string,
  protocol: Protocol
): Promise<Talk> {
  return protocol === 'tcp' ? await talkTcp(client, as, destination) : await talkUdp(client, as, destination)
}

async function talkTcp(client: AgentClient, as: string, destination: string): Promise<Talk> {
  const socket = await connect(destination, { client, as })
  const numbers = new Numbers()
  const ended = Promise.withResolvers<string>()
  let sent = 0
  const timer = setInterval(() => {
    const count = Math.min(1 + Math.floor(Math.random() * MAX_BURST), MAX_UNANSWERED - (sent - numbers.count))
    if (count <= 0) return
    socket.write(encode(sent, count))
    sent += count
  }, TICK_MS)
  socket
    .on('data', (chunk: Buffer) => {
      const wrong = numbers.push(chunk)
      if (wrong !== undefined) {
        ended.resolve(`WRONG NUMBER: ${wrong}`)
        socket.destroy()
      }
    })
    .on('error', err => ended.resolve(err.message))
    .on('end', () => ended.resolve('the other end closed it'))
    .on('close', () => {
      clearInterval(timer)
      ended.resolve('it was closed')
    })
  return {
    get received() {
      return numbers.count
    },
    ended: ended.promise,
    close: () => void socket.destroy()
  }
}

async function talkUdp(client: AgentClient, as: string, destination: string): Promise<Talk> {
  const socket = await connect(destination, { client, as, protocol: 'udp' })
  const ended = Promise.withResolvers<string>()
  const seen = new Set<number>()
  let [sent, received] = [0, 0]
  const timer = setInterval(() => {
    socket.send(encode(sent, 1))
    sent += 1
  }, TICK_MS)
  socket
    .on('message', payload => {
      const number = Number(payload.readBigUInt64BE())
      if (seen.has(number) || number >= sent || number < sent - MAX_LATE) {
        ended.resolve(`WRONG NUMBER: ${number} came ${seen.has(number) ? 'twice' : `when ${sent} were sent`}`)
        void socket.close()
      }
      seen.add(number)
      seen.delete(number - 2 * MAX_LATE)
      received += 1
    })
    .on('error', err => ended.resolve(err.message))
    .on('close', () => {
      clearInterval(timer)
      ended.resolve('it was closed')
    })
  return {
    get received() {
      return received
    },
    ended: ended.promise,
    close: () => void socket.close()
  }
}

/** Numbers out of a stream of bytes: 0, 1, 2 and so on. */
class Numbers {
  count = 0
  #rest: Buffer = Buffer.alloc(0)

  /** Returns what is wrong with the first number that is. */
  push(chunk: Buffer): string | undefined {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    let at = 0
    for (; bytes.length - at >= NUMBER_BYTES; at += NUMBER_BYTES) {
      const number = bytes.readUInt32BE(at) * 2 ** 32 + bytes.readUInt32BE(at + 4)
      if (number !== this.count) return `${number} came instead of ${this.count}`
      this.count += 1
    }
    // A copy: what is left must not keep the whole chunk.
    this.#rest = at === bytes.length ? Buffer.alloc(0) : Buffer.from(bytes.subarray(at))
    return undefined
  }
}

function encode(first: number, count: number): Buffer {
  const bytes = Buffer.alloc(count * NUMBER_BYTES)
  for (let index = 0; index < count; index += 1) {
    const number = first + index
    bytes.writeUInt32BE(Math.floor(number / 2 ** 32), index * NUMBER_BYTES)
    bytes.writeUInt32BE(number % 2 ** 32, index * NUMBER_BYTES + 4)
  }
  return bytes
}
