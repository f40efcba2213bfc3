import { Header, NAME_BYTES, Vector } from './layout.ts'
import { Memory } from './memory.ts'

/** Headers (`struct mmsghdr`) of messages, each with one vector and room for one name. */
export class Messages {
  readonly headers: Memory
  readonly vectors: Memory
  readonly names: Memory
  /** Address of the headers. */
  readonly address: bigint

  constructor(slots: number) {
    this.headers = new Memory(slots * Header.bytes)
    this.vectors = new Memory(slots * Vector.bytes)
    this.names = new Memory(slots * NAME_BYTES)
    this.address = this.headers.addressAt(0)
    for (const memory of [this.headers, this.vectors, this.names]) memory.bytes.fill(0)
    for (let slot = 0; slot < slots; slot += 1) {
      const header = slot * Header.bytes
      this.headers.point(header + Header.vectors, this.vectors, slot * Vector.bytes)
      this.headers.bytes.writeUInt32LE(1, header + Header.vectorCount)
    }
  }

  /** Sets the vector of a message to `bytes` of `memory` from `at` on. */
  place(slot: number, memory: Memory, at: number, bytes: number): void {
    const vector = slot * Vector.bytes
    this.vectors.point(vector + Vector.base, memory, at)
    this.vectors.bytes.writeUInt32LE(bytes, vector + Vector.length)
  }

  /** Sets the name of a message to its room. */
  pointName(slot: number): void {
    this.headers.point(slot * Header.bytes + Header.name, this.names, slot * NAME_BYTES)
  }
}
