import koffi from 'koffi'
import { Control, DESCRIPTOR_BYTES, Header, Vector } from './layout.ts'

// include/linux/socket.h
const SOL_SOCKET = 1
const SCM_RIGHTS = 1
const MSG_CTRUNC = 8

/** Descriptors in one message: `localhost` has a socket for each family. */
export const MAX_PASSED = 2

const VECTOR = Header.bytes
/** One byte goes with the descriptors: a stream carries none without. */
const PAYLOAD = VECTOR + Vector.bytes
const CONTROL = PAYLOAD + 8
const CONTROL_BYTES = align(Control.bytes + MAX_PASSED * DESCRIPTOR_BYTES)
const SIZE = CONTROL + CONTROL_BYTES

/** A message of one byte and some descriptors, as `sendmsg` and `recvmsg` have it. Its memory is never released: make one. */
export class Message {
  /** The argument for the system call. */
  readonly pointer: unknown
  readonly #bytes: Buffer
  readonly #address: bigint

  constructor() {
    this.pointer = koffi.alloc('uint8_t', SIZE)
    this.#bytes = Buffer.from(koffi.view(this.pointer, SIZE))
    this.#address = BigInt(koffi.address(this.pointer))
  }

  /** Makes it one that carries `descriptors`. */
  fill(descriptors: readonly number[]): void {
    if (descriptors.length > MAX_PASSED) throw new RangeError(`more than ${MAX_PASSED} descriptors`)
    const length = Control.bytes + descriptors.length * DESCRIPTOR_BYTES
    this.#reset(align(length))
    this.#bytes.writeBigUInt64LE(BigInt(length), CONTROL + Control.length)
    this.#bytes.writeInt32LE(SOL_SOCKET, CONTROL + Control.level)
    this.#bytes.writeInt32LE(SCM_RIGHTS, CONTROL + Control.type)
    for (const [index, fd] of descriptors.entries()) this.#bytes.writeInt32LE(fd, placeOf(index))
  }

  /** Makes it one that can be received. */
  empty(): void {
    this.#reset(CONTROL_BYTES)
  }

  /** The descriptors that were received. */
  descriptors(): number[] {
    if (this.#bytes.readBigUInt64LE(Header.controlBytes) < BigInt(Control.bytes)) return []
    const level = this.#bytes.readInt32LE(CONTROL + Control.level)
    const type = this.#bytes.readInt32LE(CONTROL + Control.type)
    if (level !== SOL_SOCKET || type !== SCM_RIGHTS) return []
    const length = Number(this.#bytes.readBigUInt64LE(CONTROL + Control.length))
    const count = Math.min(MAX_PASSED, Math.floor((length - Control.bytes) / DESCRIPTOR_BYTES))
    return Array.from({ length: count }, (_, index) => this.#bytes.readInt32LE(placeOf(index)))
  }

  /** Whether it had more descriptors than were received. */
  get isTruncated(): boolean {
    return (this.#bytes.readInt32LE(Header.flags) & MSG_CTRUNC) !== 0
  }

  #reset(controlBytes: number): void {
    this.#bytes.fill(0)
    this.#bytes.writeBigUInt64LE(this.#address + BigInt(VECTOR), Header.vectors)
    this.#bytes.writeBigUInt64LE(1n, Header.vectorCount)
    this.#bytes.writeBigUInt64LE(this.#address + BigInt(CONTROL), Header.control)
    this.#bytes.writeBigUInt64LE(BigInt(controlBytes), Header.controlBytes)
    this.#bytes.writeBigUInt64LE(this.#address + BigInt(PAYLOAD), VECTOR + Vector.base)
    this.#bytes.writeBigUInt64LE(1n, VECTOR + Vector.length)
  }
}

function placeOf(index: number): number {
  return CONTROL + Control.bytes + index * DESCRIPTOR_BYTES
}

function align(bytes: number): number {
  return Math.ceil(bytes / Control.alignment) * Control.alignment
}
