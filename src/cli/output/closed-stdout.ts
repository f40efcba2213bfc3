let isClosed = false
let hasLost = false
let onBrokenPipe: BrokenPipe = 'done'

/** What the end of the reader of standard output means: it has what it wanted, it lacks a part of a file, or nothing. */
export type BrokenPipe = 'done' | 'failed' | 'ignored'

/** Learns from bin/warren.js whether standard output is closed: Node opens /dev/null in its place, where every write succeeds. */
export function noteClosedStdout(env: NodeJS.ProcessEnv = process.env): void {
  isClosed = env['WARREN_STDOUT'] === 'closed'
  // Not for what this process starts, which may have one.
  delete env['WARREN_STDOUT']
}

/** Whether what is printed reaches nobody. Asked by whoever is about to print, so that it is known at the end that data was lost. */
export function losesOutput(): boolean {
  hasLost ||= isClosed
  return isClosed
}

/** Whether anything was to be printed and could not be. */
export function hasLostOutput(): boolean {
  return hasLost
}

/** Says what it means for this command when the reader of its output has ended. @default 'done', as for `head` */
export function whenReaderEnds(means: BrokenPipe): void {
  onBrokenPipe = means
}

export function meaningOfBrokenPipe(): BrokenPipe {
  return onBrokenPipe
}
