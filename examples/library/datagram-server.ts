import { listen } from '../../src/client/index.ts'

// One socket for each client, which is one flow.
const server = await listen('dev.time.echo.default', { protocol: 'udp', whitelist: ['dev.shop.*.*'] }, socket => {
  socket.on('error', err => console.log('cut off:', err.message))
  socket.on('message', datagram => socket.send(datagram))
})
console.log('serving', server.address)
process.once('SIGTERM', () => void server.close())
await server.closed()
