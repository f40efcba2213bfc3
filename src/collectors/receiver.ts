/** Returns the next items, at most so many; none if there are no more now. */
export type Take<T> = (maxItems?: number) => Promise<readonly T[]>

/** The way to one receiver outside of the mesh. */
export interface Receiver<T> {
  /** Sends what `take` returns. Resolves when the receiver has all of it, as far as its protocol can tell; else rejects. */
  deliver(take: Take<T>, signal: AbortSignal): Promise<void>
  close(): void
}

/** A receiver that takes nothing for so long is one that failed. */
export const STALL_MS = 30_000
/** For the connection and the handshake. */
export const CONNECT_MS = 10_000
/** A receiver that was gone before the last line came to it says so within this time. */
export const SETTLE_MS = 1_000
