// RabbitMQ through the mesh: the library takes the options of `net.connect`, thus a path, which `forward` opens.
import { connect } from 'amqplib'
import { forward } from 'warren'

await using local = await forward('dev.queue.rabbitmq.default', {
  as: 'dev.shop.cart.default',
  onError: err => console.error(err.message)
})

const connection = await connect('amqp://guest:guest@rabbitmq/', { path: local.path })
const channel = await connection.createConfirmChannel()
const { queue } = await channel.assertQueue('', { exclusive: true })
const arrived = new Promise(resolve => {
  const words = []
  channel.consume(queue, message => {
    words.push(String(message.content))
    channel.ack(message)
    if (words.length === 20) resolve(words)
  })
})
for (let i = 0; i < 20; i += 1) channel.sendToQueue(queue, Buffer.from(`word ${i}`))
await channel.waitForConfirms()
console.log((await arrived).length, 'messages')
await channel.close()
await connection.close()
