/** Opens a record that was sent, from its sealed form. Throws if the memory of that has changed. */
export type Reopen = (sealed: Buffer) => Buffer

/** Memory for one piece that is sent. */
export interface Place {
  readonly memory: Buffer
  /** Call it once the system has taken what was written from the memory, if it was kept. */
  readonly left: () => void
}

/** Keeps what a leg sends, also in the sealed form in which it leaves: that saves a copy of it. */
export interface Keeper {
  /** Memory of `size` bytes, valid until the next call of the keeper; undefined if there is none. */
  place(size: number): Place | undefined
  /** The next bytes that are sent. With `reopen`, they lie sealed in the memory of the last `place`; else they are copied. */
  keep(bytes: Buffer, reopen?: Reopen): void
}
