import { connect } from '../../src/client/index.ts'

const socket = await connect('dev.time.echo.default', { protocol: 'udp', as: 'dev.shop.cart.default' })

// False if it was dropped here. True promises nothing: datagrams may be lost, and may arrive in another order.
if (!socket.send('what time is it?')) console.log('dropped')

for await (const datagram of socket) {
  console.log('answer:', datagram.toString())
  break
}
await socket.close()
