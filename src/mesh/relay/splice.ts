import type { Duplex } from 'node:stream'

/**
 * Joins two streams until both directions have ended, or one of the streams breaks; then the other is broken too.
 *
 * The end of each direction is passed on by itself, and what one side does not take stops the other. Holds no more than
 * the buffers of the two streams. Resolves with the bytes that went each way; never rejects.
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
      // An end that was not said is a cut, and must be one for the other side as well.
      if (!one.readableEnded || !one.writableFinished) other.destroy(new Error('the other side of the relay broke'))
      resolve()
    }
    if (one.closed) onClose()
    else one.once('close', onClose)
  })
}
