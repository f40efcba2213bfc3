import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { statSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { dirname } from 'node:path'
import type { FileId } from '../../../src/attest/index.ts'
import { settled } from '../../harness/index.ts'

/** Connects to a unix path, half-open, with an error listener so that a reset is no exception. */
export async function dial(path: string): Promise<Socket> {
  const socket = connect({ path, allowHalfOpen: true })
  await once(socket, 'connect')
  socket.on('error', () => {})
  return socket
}

export async function readAll(socket: Socket): Promise<Buffer> {
  const parts: Buffer[] = []
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) parts.push(chunk as Buffer)
  return Buffer.concat(parts)
}

/** Resolves with exactly `bytes` bytes and leaves the rest. */
export async function readBytes(socket: Socket, bytes: number): Promise<Buffer> {
  const parts: Buffer[] = []
  let left = bytes
  while (left > 0) {
    const chunk: Buffer | null = socket.read(Math.min(left, Math.max(socket.readableLength, 1)))
    if (chunk === null) {
      if (socket.readableEnded || socket.destroyed) throw new Error(`ended ${left} bytes early`)
      const done = new AbortController()
      const options = { signal: done.signal }
      const events = ['readable', 'end', 'close'].map(name => once(socket, name, options).catch(() => {}))
      await Promise.race(events)
      done.abort()
      continue
    }
    parts.push(chunk)
    left -= chunk.length
  }
  return Buffer.concat(parts)
}

/** Writes `bytes` of a reproducible stream with back-pressure, ends, and returns their hash. */
export async function writeMany(socket: Socket, bytes: number, seed: number): Promise<string> {
  const hash = createHash('sha256')
  const block = Buffer.alloc(65_536)
  for (let index = 0; index < block.length; index += 1) block[index] = (index * 31 + seed) & 0xff
  let left = bytes
  let round = 0
  while (left > 0) {
    block.writeUInt32BE(round, 0)
    round += 1
    const chunk = Buffer.from(block.subarray(0, Math.min(left, 30_000 + (round % 7) * 5_000)))
    hash.update(chunk)
    left -= chunk.length
    if (!socket.write(chunk)) await once(socket, 'drain')
  }
  socket.end()
  return hash.digest('hex')
}

export async function hashAll(socket: Socket): Promise<{ hash: string; bytes: number }> {
  const hash = createHash('sha256')
  let bytes = 0
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    hash.update(chunk as Buffer)
    bytes += (chunk as Buffer).length
  }
  return { hash: hash.digest('hex'), bytes }
}

/** Resolves when the socket is closed, with or without an error. */
export function closed(socket: Socket): Promise<void> {
  return new Promise(resolve => {
    if (socket.closed) resolve()
    else socket.once('close', () => resolve())
  })
}

/** How a connection ended, as its workload sees it. */
export type End = 'clean' | 'cut'

/**
 * Reads to the end and tells a clean end from a cut: after a clean one the other side still takes bytes, after a cut a
 * write fails. A write of nothing is enough, and disturbs nobody. The end may have come before: a connection that nobody
 * reads ends all the same, and no event comes twice.
 */
export async function endOf(socket: Socket): Promise<{ bytes: number; end: End }> {
  let bytes = 0
  const ended = new Promise<End>(resolve => {
    socket.on('data', (chunk: Buffer) => {
      bytes += chunk.length
    })
    const onEnd = (): void => {
      if (socket.writableEnded) resolve('clean')
      else socket.write(Buffer.alloc(0), err => resolve(err == null ? 'clean' : 'cut'))
    }
    if (socket.destroyed) resolve('cut')
    else if (socket.readableEnded) onEnd()
    socket.once('error', () => resolve('cut'))
    socket.once('close', () => resolve('cut'))
    socket.once('end', onEnd)
  })
  return { end: await ended, bytes }
}

/** A queue of connections that a server received. */
export class Accepted {
  readonly #waiting: ((socket: Socket) => void)[] = []
  readonly #queue: Socket[] = []

  readonly push = (socket: Socket): void => {
    socket.on('error', () => {})
    const waiter = this.#waiting.shift()
    if (waiter === undefined) this.#queue.push(socket)
    else waiter(socket)
  }

  next(): Promise<Socket> {
    const queued = this.#queue.shift()
    return queued === undefined ? new Promise(resolve => this.#waiting.push(resolve)) : Promise.resolve(queued)
  }
}

/** Exchanges small messages until `isDone`: a flow that is used gets a fast-path connection. */
export async function converse(client: Socket, server: Socket, isDone: () => boolean): Promise<void> {
  while (!isDone()) {
    client.write('?')
    await readBytes(server, 1)
    server.write('!')
    await readBytes(client, 1)
  }
}

/** Connects and says `bytes`; resolves once the other end closes, and fails if it said anything. */
export async function say(address: string, bytes: Buffer): Promise<void> {
  const [host = '', port = ''] = address.split(':')
  const socket = connect({ host, port: Number(port), allowHalfOpen: true })
  const got: Buffer[] = []
  socket.on('data', (chunk: Buffer) => got.push(chunk)).on('error', () => {})
  await once(socket, 'connect')
  socket.write(bytes)
  const ended = new Promise<void>(resolve => socket.once('end', resolve).once('close', () => resolve()))
  await settled(ended, 'the connection to be closed', 15_000)
  socket.destroy()
  assert.equal(Buffer.concat(got).length, 0)
}

/** Which directory a socket is in, as the agent notes it of one that it makes. */
export function madeOf(path: string): FileId {
  const { dev, ino } = statSync(dirname(path), { bigint: true })
  return { dev, ino }
}
