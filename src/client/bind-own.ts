import { chmodSync, unlinkSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { ErrorCode, kindOf, standsAt, WarrenError } from '../core/index.ts'

/**
 * Listens on the unix socket `path` so that only this uid (and root) can connect. Replaces the socket of an earlier
 * registration, and nothing else. Closing the server removes the path. Rejects with CANNOT_CONNECT if the path cannot
 * be bound.
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

// The umask changes only during the bind; a worker thread may not change it, and relies on the directory and chmod.
function closeUmask(): () => void {
  try {
    const umask = process.umask(0o177)
    return () => process.umask(umask)
  } catch {
    return () => {}
  }
}
