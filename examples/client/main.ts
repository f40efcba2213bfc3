// A client: requests a socket for an ID, sends what it reads from standard input, logs the response, exits.
//
//   warren's agent must be running on this host, and policy must allow it
//   echo hello | node examples/client/main.ts [DESTINATION] [ADDRESS]

import { pipeline } from 'node:stream/promises'
// In a project of your own this is:  import { connect } from 'warren'
import { connect, type WarrenError } from '../../src/client/index.ts'

const [destination = 'dev.examples.echo.default', as] = process.argv.slice(2)

try {
  // A net.Socket: by now the server's identity is proved, ours too, and policy has allowed it.
  const socket = await connect(destination, { as, application: 'examples/client' })
  console.error(`connected to ${socket.peer.spiffeId}`)
  // Each direction ends by itself: the end of our input tells the server that this was the whole request.
  await Promise.all([pipeline(process.stdin, socket), pipeline(socket, process.stdout, { end: false })])
  process.exit(0)
} catch (err) {
  const { message, hint } = err as WarrenError
  console.error(hint === undefined ? message : `${message}\n${hint}`)
  process.exit(1)
}
