/** Received bytes in order, taken in pieces of any size. Copies only a piece that spans chunks. */
export class ByteQueue {
  #chunks: Buffer[] = []
  #first = 0
  #offset = 0
  #length = 0

  get length(): number {
    return this.#length
  }

  push(chunk: Buffer): void {
    if (chunk.length === 0) return
    this.#chunks.push(chunk)
    this.#length += chunk.length
  }

  /** The byte at `index`, or undefined if it has not arrived yet. */
  at(index: number): number | undefined {
    let left = index + this.#offset
    for (let at = this.#first; at < this.#chunks.length; at += 1) {
      const chunk = this.#chunks[at] as Buffer
      if (left < chunk.length) return chunk[left]
      left -= chunk.length
    }
    return undefined
  }

  /** Removes and returns the next `bytes` bytes, which must have arrived. They may share memory with a pushed chunk. */
  take(bytes: number): Buffer {
    const head = this.#chunks[this.#first]
    if (head !== undefined && head.length - this.#offset > bytes) {
      const piece = head.subarray(this.#offset, this.#offset + bytes)
      this.#offset += bytes
      this.#length -= bytes
      return piece
    }
    const parts: Buffer[] = []
    let left = bytes
    while (left > 0) {
      const part = this.#part(left)
      parts.push(part)
      left -= part.length
    }
    return parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts)
  }

  /** Discards up to `bytes` bytes, and returns their number. */
  skip(bytes: number): number {
    let left = Math.min(bytes, this.#length)
    const skipped = left
    while (left > 0) left -= this.#part(left).length
    return skipped
  }

  #part(atMost: number): Buffer {
    const chunk = this.#chunks[this.#first]
    if (chunk === undefined) throw new RangeError('more bytes requested than available')
    const part = chunk.subarray(this.#offset, this.#offset + atMost)
    this.#length -= part.length
    this.#offset += part.length
    if (this.#offset === chunk.length) {
      this.#offset = 0
      this.#first += 1
      // Chunks are not removed one by one, which would move all later ones each time.
      if (this.#first === this.#chunks.length || this.#first > 1_024) {
        this.#chunks = this.#chunks.slice(this.#first)
        this.#first = 0
      }
    }
    return part
  }
}
