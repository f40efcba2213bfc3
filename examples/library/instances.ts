import { connect, type Strategy } from '../../src/client/index.ts'

for (const strategy of ['balanced', 'first', 'sticky'] satisfies Strategy[]) {
  // A pattern: any instance of echo or hello, on any machine.
  const socket = await connect('dev.web.{echo,hello}.default', { as: 'dev.shop.cart.default', strategy })
  console.log(strategy, 'picked', socket.peer.address)
  socket.destroy()
}
