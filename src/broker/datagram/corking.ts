import type { Writable } from 'node:stream'

/** Writes what is written within one turn of the event loop together: datagrams are small, and system calls are not. */
export class Corking {
  readonly #stream: Writable
  #corked = false

  constructor(stream: Writable) {
    this.#stream = stream
  }

  write(chunk: Buffer): void {
    if (!this.#corked) {
      this.#corked = true
      this.#stream.cork()
      process.nextTick(() => {
        this.#corked = false
        this.#stream.uncork()
      })
    }
    this.#stream.write(chunk)
  }
}
