import type { Duplex } from 'node:stream'

const NOTHING = Buffer.alloc(0)

/** Whether nothing that was written to `stream` waits in this process. */
export function isFlushed(stream: Duplex): boolean {
  return stream.writableEnded ? stream.writableFinished : stream.writableLength === 0
}

/** Calls back once all bytes that wait now have been written, or the stream has closed. */
export function afterWriting(stream: Duplex, callback: () => void): void {
  if (!stream.writableEnded) {
    stream.write(NOTHING, callback)
    return
  }
  const once = (): void => {
    stream.off('finish', once).off('close', once)
    callback()
  }
  stream.once('finish', once).once('close', once)
}
