// A gRPC server in the mesh: it binds a unix socket, and the registration leads there.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Server, ServerCredentials } from '@grpc/grpc-js'
import { register } from 'warren'
import { greeter } from './greeter.js'

const directory = mkdtempSync(join(tmpdir(), 'greeter-'))
const path = join(directory, 'socket')
const server = new Server()
server.addService(greeter, { hello: (call, callback) => callback(null, `hello ${call.request}`) })
await new Promise((resolve, reject) =>
  server.bindAsync(`unix:${path}`, ServerCredentials.createInsecure(), err => (err ? reject(err) : resolve()))
)

const registration = await register('dev.web.greeter.default', { target: { unix: path }, whitelist: ['dev.shop.*.*'] })
console.log('serving', registration.address)
process.once('SIGTERM', () => void registration.close())
await registration.closed
server.forceShutdown()
rmSync(directory, { recursive: true })
