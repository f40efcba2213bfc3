import { chmodSync, unlinkSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { definedOnly, ErrorCode, kindOf, standsAt, WarrenError } from '../core/index.ts'
import { systemCode } from './from-connect-error.ts'
import { bindHint } from './from-container.ts'

/**
 * Listens on the unix socket `path` so that only this uid (and root) can connect. Replaces the socket of an earlier
 * registration, and nothing else. Closing the server removes the path. Rejects with CANNOT_CONNECT if the path cannot
 * be bound.
 */
export async function bindOwn(path: string, onSocket: (socket: Socket) => void): Promise<Server> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, onSocket)
  const listening = new Promise<void>((resolve, reject) => {
    server.once('listening', resolve).once('error', reject)
  })
  try {
    removeFormer(path)
    const restore = closeUmask()
    try {
      server.listen(path)
    } finally {
      restore()
    }
    if (server.listening) chmodSync(path, 0o600)
    await listening
  } catch (cause) {
    server.close()
    if (cause instanceof WarrenError) throw cause
    const code = systemCode(cause)
    const why = code ?? (cause instanceof Error ? cause.message : String(cause))
    const hint = bindHint(path, code)
    throw new WarrenError(ErrorCode.CannotConnect, `cannot bind ${path}: ${why}`, definedOnly({ cause, hint }))
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
