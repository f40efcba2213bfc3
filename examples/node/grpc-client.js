// gRPC through the mesh: a channel takes the path of a unix socket, so `forward` opens one.
import { promisify } from 'node:util'
import { credentials } from '@grpc/grpc-js'
import { forward } from 'warren'
import { GreeterClient } from './greeter.js'

await using local = await forward('dev.web.greeter.default', {
  as: 'dev.shop.cart.default',
  onError: err => console.error(err.message)
})

// Insecure for gRPC: the mesh has proved who both ends are, and encrypts between hosts.
const client = new GreeterClient(`unix:${local.path}`, credentials.createInsecure())
const hello = promisify(client.hello.bind(client))
const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => hello(`caller ${i}`)))
console.log(answers[7])
console.log(new Set(answers).size, 'answers')
client.close()
