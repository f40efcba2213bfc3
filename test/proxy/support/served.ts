import type { Socket } from 'node:net'
import { Accepted, dial, readBytes } from './sockets.ts'
import type { Host } from './world.ts'

/** Serves `name` on `far` for a workload of `near`. Each `open` makes a connection whose first byte has arrived at the server. */
export async function servedFor(near: Host, far: Host, name: string) {
  const source = near.register('dev.test.client.default')
  const accepted = new Accepted()
  const served = await far.serve(name, accepted.push)
  const open = async (): Promise<{ readonly client: Socket; readonly server: Socket }> => {
    const { path } = await near.connect(source, name)
    const client = await dial(path)
    client.write('x')
    const server = await accepted.next()
    await readBytes(server, 1)
    return { client, server }
  }
  return { source, served, open }
}

/** The carrier that a host shows for its newest flow. */
export function shown({ proxy }: Host): string | undefined {
  return proxy.flows().at(-1)?.carrier
}
