// A server: prepares its ID, requests a listening socket for it, binds that, prints what it receives, and answers.
//
//   warren's agent must be running on this host:   warren up --init example.org
//   node examples/server/main.ts [ADDRESS] [WHITELIST…]

import type { Socket } from 'node:net'
// In a project of your own this is:  import { listen } from 'warren'
import { listen, type Peer, type WarrenError } from '../../src/client/index.ts'

// 1. The ID: four components; the agent adds the machine. The whitelist says who may connect without a rule of policy.
const [address = 'dev.examples.echo.default', ...whitelist] = process.argv.slice(2)

/** Prints what arrives, and answers each line. */
function onConnection(socket: Socket, peer: Peer): void {
  console.log(`${peer.address} connected`)
  let rest = ''
  socket
    .setEncoding('utf8')
    .on('data', (text: string) => {
      const lines = (rest + text).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) {
        console.log(`${peer.address}: ${line}`)
        socket.write(`${peer.address} said: ${line}\n`)
      }
      if (rest.length > MAX_LINE) socket.destroy(new Error('the line is too long'))
    })
    // The client has ended its side; ending ours is what tells it that this was the whole answer.
    .on('end', () => socket.end(rest === '' ? '' : `${peer.address} said: ${rest}\n`))
    .on('error', err => console.log(`${peer.address} was cut off: ${err.message}`))
    .on('close', () => console.log(`${peer.address} is gone`))
}

const MAX_LINE = 65_536

try {
  // 2. and 3. Requests the socket from the agent and binds it. No certificate, IP address or port is involved.
  const server = await listen(address, { whitelist, application: 'examples/server' }, onConnection)
  console.log(`serving ${server.address}`)
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void server.close())
  // Ends when it is closed, or when the agent takes the address away.
  const { error } = await server.closed()
  if (error !== undefined) throw error
  process.exit(0)
} catch (err) {
  const { message, hint } = err as WarrenError
  console.error(hint === undefined ? message : `${message}\n${hint}`)
  process.exit(1)
}
