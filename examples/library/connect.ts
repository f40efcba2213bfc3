import { connect } from '../../src/client/index.ts'

// By now both identities are proved, and policy has allowed it. The socket is a net.Socket.
const socket = await connect('dev.web.echo.default', { as: 'dev.shop.cart.default' })
console.log('connected to', socket.peer.address)

// Each direction has an end of its own: this one says that the request is complete.
socket.end('hello\n')
for await (const text of socket.setEncoding('utf8')) console.log('answer:', text.trim())
