import { Header, NAME_BYTES, Vector } from './layout.ts'
import { Memory } from './memory.ts'

/** `struct mmsghdr` for so many messages, each with one vector and room for one name. */
export class Messages {
  readonly headers: Memory
  readonly vectors: Memory
  readonly names: Memory
  /** Where the headers are. */
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

  /** Has the vector of a message lead to `bytes` of `memory` from `at` on. */
  place(slot: number, memory: Memory, at: number, bytes: number): void {
    const vector = slot * Vector.bytes
    this.vectors.point(vector + Vector.base, memory, at)
    this.vectors.bytes.writeUInt32LE(bytes, vector + Vector.length)
  }

  /** Has the name of a message lead to its room. */
  pointName(slot: number): void {
    this.headers.point(slot * Header.bytes + Header.name, this.names, slot * NAME_BYTES)
  }
}
