const waiting = new Set<() => void>()

function actNow(): void {
  for (const act of [...waiting]) act()
}

/**
 * Calls `act` after `ms` milliseconds, or as soon as the process has nothing else to do: it keeps no process from ending. The
 * returned function cancels it.
 */
export function linger(ms: number, act: () => void): () => void {
  const cancel = (): void => {
    clearTimeout(timer)
    waiting.delete(once)
    if (waiting.size === 0) process.off('beforeExit', actNow)
  }
  const once = (): void => {
    cancel()
    act()
  }
  const timer = setTimeout(once, ms)
  timer.unref()
  if (waiting.size === 0) process.on('beforeExit', actNow)
  waiting.add(once)
  return cancel
}
