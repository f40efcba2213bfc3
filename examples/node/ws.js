// A WebSocket through the mesh: `createConnection` returns its connection.
import { once } from 'node:events'
import { createConnection } from 'warren'
import { WebSocket } from 'ws'

const socket = new WebSocket('ws://site/', {
  createConnection: () => createConnection('dev.web.site.default', { as: 'dev.shop.cart.default' })
})
await once(socket, 'open')

socket.send('hello')
console.log(String((await once(socket, 'message'))[0]))
socket.send(Buffer.alloc(1_000_000))
console.log((await once(socket, 'message'))[0].length, 'bytes')
socket.close()
