// Opens flows of one session whose readers stand still, at both ends, and holds them until it is killed.
// Arguments: runtime directory of the server's agent, that of the client's, number of flows. Prints "open" when all are.
import { AgentClient, connect, listen } from '../../src/client/index.ts'

const [, , serverDir = '', clientDir = '', count = ''] = process.argv
const BYTES = 1024 * 1024
const SITE = 'bench.flood.server.default'

await listen(SITE, { client: new AgentClient({ runtimeDir: serverDir }) }, socket => {
  socket.on('error', () => {}).pause()
  socket.write(Buffer.alloc(BYTES))
})
const client = new AgentClient({ runtimeDir: clientDir })
for (let opened = 0; opened < Number(count); ) {
  try {
    const socket = await connect(SITE, { client, as: 'bench.flood.client.default' })
    socket.on('error', () => {}).pause()
    socket.write(Buffer.alloc(BYTES))
    opened += 1
  } catch {
    // The address may not have spread yet, and a host under such a flood may refuse one.
    await new Promise(resolve => setTimeout(resolve, 50))
  }
}
process.stdout.write('open\n')
