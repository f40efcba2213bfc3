import { createServer } from 'node:http'
import { listen } from '../../src/client/index.ts'

const http = createServer((_request, response) => response.end('hello from the mesh\n'))

// An http.Server takes any socket as its connection, so it needs no port.
const server = await listen('dev.web.hello.default', { whitelist: ['dev.shop.*.*'] }, socket => {
  http.emit('connection', socket)
})
console.log('serving', server.address)
process.once('SIGTERM', () => void server.close())
await server.closed()
