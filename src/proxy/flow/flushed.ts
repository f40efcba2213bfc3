import type { Socket } from 'node:net'

const NOTHING = Buffer.alloc(0)

/** Whether nothing that was written to `socket` waits in this process. */
export function isFlushed(socket: Socket): boolean {
  return socket.writableEnded ? socket.writableFinished : socket.writableLength === 0
}

/** Calls back once what waits now has been written, or the socket is gone. */
export function afterWriting(socket: Socket, callback: () => void): void {
  if (!socket.writableEnded) {
    socket.write(NOTHING, callback)
    return
  }
  const once = (): void => {
    socket.off('finish', once).off('close', once)
    callback()
  }
  socket.once('finish', once).once('close', once)
}
