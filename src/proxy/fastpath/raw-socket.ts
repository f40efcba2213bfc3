import { Socket } from 'node:net'
import { descriptorOf } from '../../core/index.ts'
import { duplicator } from './duplicate.ts'
import { littleBuffer, readBuffer } from './pool.ts'

/**
 * Receives the bytes of one read, which are valid only during the call; returns false to receive no more until
 * `resume`.
 */
export type OnBytes = (bytes: Buffer) => boolean

export interface TakenOver {
  /** It is paused until `resume` is called, and open for writing after the other end has ended. */
  readonly socket: Socket
  /** Bytes that the former socket had read and nobody had consumed. */
  readonly remaining: Buffer
}

/** Whether sockets can be taken over on this system. */
export function canTakeOver(): boolean {
  return duplicator() !== undefined
}

/**
 * Continues a connection in a new socket, which reads into one buffer that is reused, and closes the former socket
 * without ending the connection. Node accepts a buffer only when it makes a socket.
 *
 * While `readsLittle` returns true, each read takes a few kilobytes only.
 *
 * The former must be paused and have nothing left to write; `releaseIdle` is called before it closes. Throws when there
 * are no descriptors, and leaves the former unchanged.
 */
export function takeOver(
  former: Socket,
  onBytes: OnBytes,
  releaseIdle: () => void = () => {},
  readsLittle?: () => boolean
): TakenOver {
  const duplicate = duplicator()
  if (duplicate === undefined) throw new Error('sockets cannot be taken over on this system')
  const fd = duplicate(descriptorOf(former))
  const socket = new Socket({
    fd,
    allowHalfOpen: true,
    onread: {
      // Node asks such a function before each read.
      buffer: readsLittle === undefined ? readBuffer : () => (readsLittle() ? littleBuffer : readBuffer),
      callback: bytesOf(onBytes)
    }
  })
  // Without this it begins to read at once, and loses the bytes.
  socket.pause()
  releaseIdle()
  const chunks: Buffer[] = []
  for (let chunk: Buffer | null = former.read(); chunk !== null; chunk = former.read()) chunks.push(chunk)
  former.destroy()
  return { socket, remaining: Buffer.concat(chunks) }
}

/** The `onread` option of a socket that is not connected yet. */
export function onread(onBytes: OnBytes): { readonly buffer: Buffer; readonly callback: (size: number) => boolean } {
  return { buffer: readBuffer, callback: bytesOf(onBytes) }
}

function bytesOf(onBytes: OnBytes): (size: number) => boolean {
  return size => onBytes(readBuffer.subarray(0, size))
}
