import { once } from 'node:events'
import type { Socket } from 'node:net'
import { closed, readBytes } from './sockets.ts'
import type { Host } from './world.ts'

export interface Pair {
  readonly client: Socket
  readonly server: Socket
}

/** Fast-path connections are kept from the first flow of a session on. */
export const KEPT_AT_ONCE = { upgradeThresholds: { flowsPerSecond: 0 } } as const

/** Opens and ends flows until one has been on a pooled fast-path connection, which then waits for the next. */
export async function untilConnectionIsPooled(near: Host, open: () => Promise<Pair>): Promise<void> {
  for (let carrier = ''; !carrier.endsWith('fastpath'); ) {
    const { client, server } = await open()
    client.write('?')
    await readBytes(server, 1)
    server.write('!')
    await readBytes(client, 1)
    const flow = near.proxy.flows().at(-1)
    carrier = flow?.carrier ?? ''
    const ended = [client, server].map(socket => once(socket.resume(), 'end').then(() => closed(socket)))
    client.end()
    server.end()
    await Promise.all(ended)
    await near.line(({ message, fields }) => message === 'flow ended' && fields.flowId === flow?.id)
  }
}
