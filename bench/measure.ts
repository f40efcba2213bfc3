import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { settled } from '../test/harness/index.ts'

const BULK_BYTES = 256 * 1024 * 1024
const CHUNK = Buffer.alloc(256 * 1024, 0x5a)
const PINGS = 2_000
const PING = Buffer.alloc(64, 0x5a)
const CONNECTIONS = 300
const PARALLEL = 16
const PATIENCE_MS = 120_000

/** What a connection wants is its first byte: `s` counts what comes and answers with the count, `e` is an echo. */
export async function startTarget(path: string): Promise<Server> {
  const server = createServer({ allowHalfOpen: true }, socket => {
    socket.on('error', () => socket.destroy())
    socket.once('data', (first: Buffer) => {
      if (first[0] === 0x65) {
        socket.write(first.subarray(1))
        socket.pipe(socket)
        return
      }
      let bytes = first.length - 1
      socket.on('data', (chunk: Buffer) => {
        bytes += chunk.length
      })
      socket.on('end', () => socket.end(String(bytes)))
    })
  }).listen(path)
  await once(server, 'listening')
  return server
}

async function open(path: string, kind: 's' | 'e'): Promise<Socket> {
  const socket = connect({ path, allowHalfOpen: true })
  await once(socket, 'connect')
  socket.write(kind)
  return socket
}

/** One connection, one direction: megabytes (10^6) per second until the other end has counted them all. */
export async function bulk(path: string): Promise<number> {
  const socket = await open(path, 's')
  const started = performance.now()
  const answer = socket.toArray()
  for (let sent = 0; sent < BULK_BYTES; sent += CHUNK.length) {
    if (!socket.write(CHUNK)) await once(socket, 'drain')
  }
  socket.end()
  const counted = (await settled(answer, 'the count', PATIENCE_MS)).join('')
  if (Number(counted) !== BULK_BYTES) throw new Error(`${counted} of ${BULK_BYTES} bytes arrived`)
  return BULK_BYTES / 1e6 / ((performance.now() - started) / 1_000)
}

async function roundTrip(socket: Socket): Promise<void> {
  socket.write(PING)
  for (let received = 0; received < PING.length; ) {
    const [chunk] = (await once(socket, 'data')) as [Buffer]
    received += chunk.length
  }
}

/** One connection: the median of 64-byte round trips, in microseconds. */
export async function latency(path: string): Promise<number> {
  const socket = await open(path, 'e')
  const times: number[] = []
  for (let count = 0; count < PINGS; count += 1) {
    const started = performance.now()
    await roundTrip(socket)
    times.push((performance.now() - started) * 1_000)
  }
  socket.destroy()
  return median(times.slice(PINGS / 10))
}

/** New connections per second, several at a time; each counts once it has carried a round trip. */
export async function connections(path: string): Promise<number> {
  let left = CONNECTIONS
  const started = performance.now()
  const worker = async (): Promise<void> => {
    while (left > 0) {
      left -= 1
      const socket = await open(path, 'e')
      await roundTrip(socket)
      socket.destroy()
    }
  }
  await settled(Promise.all(Array.from({ length: PARALLEL }, worker)), 'the connections', PATIENCE_MS)
  return CONNECTIONS / ((performance.now() - started) / 1_000)
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((x, y) => x - y)
  const middle = Math.floor(sorted.length / 2)
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2
}
