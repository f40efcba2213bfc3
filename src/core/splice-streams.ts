import type { Duplex } from 'node:stream'

/**
 * Joins two streams until both directions have ended, or one of the streams breaks; then the other is broken too.
 *
 * The end of each direction is passed on separately, and when one side stops reading, the other side waits. Holds only the
 * buffers of the two streams. Resolves with the bytes of each direction; never rejects.
 */
export async function spliceStreams(near: Duplex, far: Duplex): Promise<{ forth: number; back: number }> {
  const bytes = { forth: 0, back: 0 }
  near.on('data', (chunk: Buffer) => {
    bytes.forth += chunk.length
  })
  far.on('data', (chunk: Buffer) => {
    bytes.back += chunk.length
  })
  near.pipe(far)
  far.pipe(near)
  await Promise.all([follow(near, far), follow(far, near)])
  return bytes
}

function follow(one: Duplex, other: Duplex): Promise<void> {
  return new Promise(resolve => {
    const onClose = (): void => {
      // A stream that closes without an end was cut, and must be cut for the other side as well.
      if (!one.readableEnded || !one.writableFinished) other.destroy(new Error('the other side of the relay broke'))
      resolve()
    }
    if (one.closed) onClose()
    else one.once('close', onClose)
  })
}
