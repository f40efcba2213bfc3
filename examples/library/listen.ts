import { listen } from '../../src/client/index.ts'

// Four components; the agent adds the machine. The whitelist allows these sources without a rule.
const server = await listen('dev.web.echo.default', { whitelist: ['dev.shop.*.*'] }, (socket, peer) => {
  console.log('connection from', peer.address)
  socket.on('error', err => console.log('cut off:', err.message))
  // Passes on the end of the request as the end of the answer, too.
  socket.pipe(socket)
})
console.log('serving', server.address)
process.once('SIGTERM', () => void server.close())

// Resolves after `close`, and when the agent has ended the registration; then `error` says why.
const { reason, error } = await server.closed()
console.log('no longer serving:', reason)
if (error !== undefined) process.exitCode = 1
