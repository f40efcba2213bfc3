import { Socket } from 'node:net'
import { descriptorOf } from '../../core/index.ts'
import { duplicator } from './duplicate.ts'
import { readBuffer } from './pool.ts'

/** Gets what a read brought, which is gone when it returns; false to be given no more until `resume`. */
export type OnBytes = (bytes: Buffer) => boolean

export interface TakenOver {
  /** Paused until `resume` is called; open for writing when the other end has ended. */
  readonly socket: Socket
  /** What the former had read and nobody had taken. */
  readonly remaining: Buffer
}

/** Whether sockets can be taken over on this system. */
export function canTakeOver(): boolean {
  return duplicator() !== undefined
}

/**
 * Goes on with a connection in a new socket, which reads into one buffer that is used again, and closes the former without
 * ending the connection. Node takes a buffer only when it makes a socket.
 *
 * The former must be paused and have nothing left to write; `releaseIdle` is called before it closes. Throws, and the former is as it was,
 * when there are no descriptors.
 */
export function takeOver(former: Socket, onBytes: OnBytes, releaseIdle: () => void = () => {}): TakenOver {
  const duplicate = duplicator()
  if (duplicate === undefined) throw new Error('sockets cannot be taken over on this system')
  const fd = duplicate(descriptorOf(former))
  const socket = new Socket({
    fd,
    allowHalfOpen: true,
    onread: { buffer: readBuffer, callback: bytesOf(onBytes) }
  })
  // Else it begins to read at once, and what it reads is gone.
  socket.pause()
  releaseIdle()
  const chunks: Buffer[] = []
  for (let chunk: Buffer | null = former.read(); chunk !== null; chunk = former.read()) chunks.push(chunk)
  former.destroy()
  return { socket, remaining: Buffer.concat(chunks) }
}

/** The `onread` option of a socket that is yet to connect. */
export function onread(onBytes: OnBytes): { readonly buffer: Buffer; readonly callback: (size: number) => boolean } {
  return { buffer: readBuffer, callback: bytesOf(onBytes) }
}

function bytesOf(onBytes: OnBytes): (size: number) => boolean {
  return size => onBytes(readBuffer.subarray(0, size))
}
