import { chmodSync, unlinkSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { ErrorCode, kindOf, standsAt, WarrenError } from '../core/index.ts'

/**
 * Listens on the unix socket `path` so that only this uid (and root) can connect, replacing what an earlier
 * registration left there; anything but a socket stays. Closing the server removes the path. CANNOT_CONNECT if it cannot be bound.
 */
export async function bindOwn(path: string, onSocket: (socket: Socket) => void): Promise<Server> {
  removeFormer(path)
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, onSocket)
  const listening = new Promise<void>((resolve, reject) => {
    server.once('listening', resolve).once('error', reject)
  })
  const restore = closeUmask()
  try {
    server.listen(path)
  } finally {
    restore()
  }
  try {
    if (server.listening) chmodSync(path, 0o600)
    await listening
  } catch (cause) {
    server.close()
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new WarrenError(ErrorCode.CannotConnect, `cannot bind ${path}: ${why}`, { cause })
  }
  return server
}

function removeFormer(path: string): void {
  const found = standsAt(path)
  if (found === undefined) return
  if (!found.isSocket()) throw new WarrenError(ErrorCode.CannotConnect, `${path} exists and is ${kindOf(found)}`)
  unlinkSync(path)
}

// Only for the moment of the bind; a worker thread may not change the umask, and relies on the directory and chmod.
function closeUmask(): () => void {
  try {
    const umask = process.umask(0o177)
    return () => process.umask(umask)
  } catch {
    return () => {}
  }
}
