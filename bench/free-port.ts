import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { waitFor } from '../test/harness/index.ts'

/** A TCP port of the loopback interface that nobody listens at just now. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  return port
}

/** Waits until somebody answers at a port or a unix socket. */
export async function answers(where: { readonly port: number } | { readonly path: string }): Promise<void> {
  const probe = (): Promise<boolean> =>
    new Promise(resolve => {
      const socket = 'path' in where ? connect(where.path) : connect(where.port, '127.0.0.1')
      socket.once('connect', () => {
        socket.destroy()
        resolve(true)
      })
      socket.once('error', () => resolve(false))
    })
  await waitFor(probe, `an answer at ${JSON.stringify(where)}`)
}
