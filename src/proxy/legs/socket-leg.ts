import { Socket } from 'node:net'
import { canTakeOver, takeOver } from '../fastpath/index.ts'
import type { ByteLeg, Cut, Room } from '../flow/index.ts'
import { isClosedByPeer } from './closed-by-peer.ts'
import { DuplexLeg, type Manner } from './duplex-leg.ts'
import { resetOnClose, resetSocket } from './reset-socket.ts'

/**
 * A workload's socket, which is open for both directions and paused. With `explicitEnd`, the workload ends its direction
 * of a unix socket by a shutdown for writing, and a close before that is a reset.
 *
 * Until the end of the direction to it has been passed on, the kernel resets a TCP connection when this process is
 * killed: else half an answer would look whole.
 */
export function socketLeg(socket: Socket, explicitEnd = false): DuplexLeg {
  resetOnClose(socket, true)
  return new DuplexLeg(socket, new SocketManner(socket, explicitEnd))
}

/**
 * Ends both directions of a workload's socket at once.
 *
 * A TCP socket sends RST. AF_UNIX has no reset: its peer reads the data that it already received, then the end of file
 * (or ECONNRESET, if it had written data that we did not read), and gets EPIPE when it writes. That differs from a
 * clean end, at which our side stays open for reading until the workload has ended too.
 */
export function abortSocket(socket: Socket): void {
  if (socket.remoteAddress !== undefined && socket instanceof Socket) resetSocket(socket)
  else socket.destroy()
}

/**
 * Reads the socket of `leg` into one buffer that is reused from now on, if the system allows it and if `into`, which
 * receives the data for the remainder of the flow, copies it. Begins when all data that waits for the workload has
 * left.
 */
export function reuseReads(leg: DuplexLeg, socket: Socket, into: Pick<ByteLeg, 'copies'>, explicitEnd = false): void {
  if (!into.copies || !canTakeOver()) return
  leg.exchange((onBytes, releaseIdle) => {
    const { socket: stream, remaining } = takeOver(socket, onBytes, releaseIdle)
    return { stream, manner: new SocketManner(stream, explicitEnd), remaining }
  })
}

/**
 * Reads the socket of `leg` in small pieces from now on, as long as `room` is scarce: Node reads 64 KiB at a time, and a
 * flow that stalls holds what it has read.
 */
export function readLittle(leg: DuplexLeg, socket: Socket, room: Room, explicitEnd = false): void {
  if (!canTakeOver()) return
  leg.exchange((onBytes, releaseIdle) => {
    // The memory of a read is used for the next one.
    const copied = (bytes: Buffer): boolean => !leg.isClosed && onBytes(Buffer.from(bytes))
    const { socket: stream, remaining } = takeOver(socket, copied, releaseIdle, () => room.isScarce)
    return { stream, manner: new SocketManner(stream, explicitEnd), remaining }
  })
}

class SocketManner implements Manner {
  readonly isAborting = false
  readonly #socket: Socket
  readonly #explicitEnd: boolean

  constructor(socket: Socket, explicitEnd: boolean) {
    this.#socket = socket
    this.#explicitEnd = explicitEnd
  }

  isCleanEnd(): boolean {
    return !this.#explicitEnd || !isClosedByPeer(this.#socket)
  }

  finished(): void {
    resetOnClose(this.#socket, false)
  }

  failure(err: Error | undefined): Cut {
    return { kind: 'reset', text: `reset by the workload${err === undefined ? '' : ` (${codeFrom(err)})`}` }
  }

  // It is read in small pieces then.
  keepLittle(): void {}

  reset(): void {
    abortSocket(this.#socket)
  }
}

function codeFrom(err: Error): string {
  return 'code' in err && typeof err.code === 'string' ? err.code : err.message
}
