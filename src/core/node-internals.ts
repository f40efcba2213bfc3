/**
 * Undocumented members of Node that this project uses. Only this file reads them.
 *
 * | member | upstream | without it |
 * |---|---|---|
 * | `_handle.fd` of a `net.Socket` and of a `net.Server` | nodejs/node#4763, nodejs/node#8974: none is offered | the agent does not start: it could not identify local callers; and `forward` carries the bytes of its clients |
 * | symbol `state symbol` of a `dgram.Socket`, and `handle.fd` in it | nodejs/node-v0.x-archive#8057: none is offered | UDP with one system call for each datagram, and with the receive buffer that the system allows |
 * | `_handle.readStop()` of a `net.Socket` | a destroyed socket whose `_destroy` is held back cannot stop to read | a client ends with a RangeError of Node if bytes arrive behind a cut |
 * | `_readableState.highWaterMark` of a `stream.Readable` | `readableHighWaterMark` is read-only | a stalled stream of a session keeps 64 KiB, also where memory is scarce |
 *
 * Tested with Node 26.10.0. `checkNodeInternals` tests both at the start of an agent.
 */
import { createSocket, type Socket as DatagramSocket } from 'node:dgram'
import { connect, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { ErrorCode, WarrenError } from './errors.ts'
import type { Logger } from './log.ts'

/** Returns the descriptor of a connected socket, or of a listening server, of `node:net`. Throws a TypeError if there is none. */
export function descriptorOf(socket: Socket | Server): number {
  const fd = fdIn(Reflect.get(socket, '_handle'))
  if (fd === undefined || fd < 0) throw new TypeError('the socket has no descriptor')
  return fd
}

/**
 * Returns a function for the descriptor of a bound or connected socket of `node:dgram`; undefined once the socket is
 * closed, so that the number is never used for a later file, and if Node does not show it.
 */
export function datagramDescriptorOf(socket: DatagramSocket): () => number | undefined {
  const state = stateOf(socket)
  return () => {
    const fd = fdIn(isObject(state) ? Reflect.get(state, 'handle') : undefined)
    return fd !== undefined && fd >= 0 ? fd : undefined
  }
}

/**
 * Makes a socket receive no more, if Node allows it. For a socket that is destroyed but not closed yet: Node takes the number of
 * bytes that arrive there for the number of an error, and throws.
 */
export function stopReading(socket: Socket): void {
  const handle: unknown = Reflect.get(socket, '_handle')
  const stop: unknown = isObject(handle) ? Reflect.get(handle, 'readStop') : undefined
  if (typeof stop === 'function') Reflect.apply(stop, handle, [])
}

/** Makes a stream that nobody reads keep no more than it has, if Node allows it. */
export function keepLittle(stream: Readable): void {
  const state: unknown = Reflect.get(stream, '_readableState')
  if (isObject(state) && typeof Reflect.get(state, 'highWaterMark') === 'number') Reflect.set(state, 'highWaterMark', 1)
}

interface Makers {
  readonly connect: (options: { readonly path: string }) => Socket
  readonly createSocket: (type: 'udp4') => DatagramSocket
}

/**
 * Tests at the start of an agent the members that the functions above read, and logs a warning if datagrams work
 * without it.
 *
 * Throws UNSUPPORTED if sockets of `node:net` show no descriptor: then no local caller could be identified.
 */
export function checkNodeInternals(log: Logger, make: Makers = { connect, createSocket }): void {
  // The path does not exist; the socket has its descriptor before that is known.
  const stream = make.connect({ path: join(process.execPath, 'none') })
  stream.on('error', () => {})
  const descriptor = fdIn(Reflect.get(stream, '_handle'))
  stream.destroy()
  if (descriptor === undefined) {
    throw new WarrenError(
      ErrorCode.Unsupported,
      `Node ${process.versions.node} does not show the descriptors of sockets`,
      {
        hint: 'Use the version of Node that this version of warren was tested with.'
      }
    )
  }
  const datagram = make.createSocket('udp4')
  const state = stateOf(datagram)
  const handle: unknown = isObject(state) ? Reflect.get(state, 'handle') : undefined
  datagram.close()
  if (fdIn(handle) !== undefined) return
  const reason = 'it does not show the descriptors of UDP sockets; each datagram costs a system call'
  log.warn('a library has changed inside', { component: 'node', version: process.versions.node, reason })
}

function stateOf(socket: DatagramSocket): unknown {
  const key = Object.getOwnPropertySymbols(socket).find(symbol => symbol.description === 'state symbol')
  return key === undefined ? undefined : Reflect.get(socket, key)
}

function fdIn(handle: unknown): number | undefined {
  const fd: unknown = isObject(handle) ? Reflect.get(handle, 'fd') : undefined
  return typeof fd === 'number' ? fd : undefined
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}
