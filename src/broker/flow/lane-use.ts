/**
 * What a flow carries before it gets a connection of its own. To make one costs both agents about as much as this, and it is won
 * back with as much again.
 */
const WORTH_BYTES = 512 * 1024
/** Chunks, for flows of many small messages: each costs less on a lane. */
const WORTH_CHUNKS = 64

/** Whether a flow is used enough to be worth a lane. */
export function isWorthALane(bytes: number, chunks: number): boolean {
  return bytes >= WORTH_BYTES || chunks >= WORTH_CHUNKS
}
