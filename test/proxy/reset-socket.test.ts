import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { describe, it } from 'node:test'
import { resetSocket } from '../../src/proxy/legs/reset-socket.ts'
import { waitFor } from '../harness/index.ts'
import { closed } from './support/sockets.ts'

async function pair(): Promise<{ near: Socket; far: Socket; [Symbol.dispose]: () => void }> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  const near = connect({ host: '127.0.0.1', port, allowHalfOpen: true })
  const [far] = (await once(server, 'connection')) as [Socket]
  near.on('error', () => {})
  far.on('error', () => {})
  return { near, far, [Symbol.dispose]: () => void server.close() }
}

describe('the reset of a connection', () => {
  it('reaches an end that reads', async () => {
    using both = await pair()
    const comes = new Promise<string | undefined>(resolve => {
      both.far.once('error', (err: NodeJS.ErrnoException) => resolve(err.code))
      both.far.once('end', () => resolve('an end'))
    })
    both.far.resume()
    resetSocket(both.near)
    assert.equal(await comes, 'ECONNRESET')
  })

  it('closes one whose end is just leaving', async () => {
    using both = await pair()
    const { near, far } = both
    near.end()
    // Node asks the kernel for the end now, and hears of it in the next turn.
    await new Promise<void>(resolve => process.nextTick(() => process.nextTick(resolve)))
    resetSocket(near)
    far.resume().destroy()
    await closed(far)
    const isClosed = (): boolean => !process.getActiveResourcesInfo().includes('TCPSocketWrap')
    await waitFor(isClosed, 'both handles to close', 5_000)
  })

  it('of one that is not connected yet, or is gone, does nothing but close it', async () => {
    const socket = connect({ host: '127.0.0.1', port: 1 })
    socket.on('error', () => {})
    resetSocket(socket)
    resetSocket(socket)
    assert.ok(socket.destroyed)
  })
})
