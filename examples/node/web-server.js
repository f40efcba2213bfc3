// HTTP and WebSocket in the mesh: an http.Server takes each connection of `listen`, and needs no port.
import { createServer } from 'node:http'
import { listen } from 'warren'
import { WebSocketServer } from 'ws'

const http = createServer((request, response) => response.end(`you asked for ${request.url}`))
const sockets = new WebSocketServer({ server: http })
sockets.on('connection', socket => socket.on('message', (data, binary) => socket.send(data, { binary })))

const server = await listen('dev.web.site.default', { whitelist: ['dev.shop.*.*'] }, socket => {
  http.emit('connection', socket)
})
console.log('serving', server.address)
process.once('SIGTERM', () => void server.close())
await server.closed()
for (const socket of sockets.clients) socket.terminate()
http.closeAllConnections()
