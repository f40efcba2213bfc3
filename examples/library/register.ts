import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { register } from '../../src/client/index.ts'

// Any server of this host that listens on a port: this one, or one in another process.
const server = createServer((request, response) => response.end(`you asked for ${request.url}\n`))
await once(server.listen(0, '127.0.0.1'), 'listening')
const { port } = server.address() as AddressInfo

const registration = await register('dev.web.site.default', {
  target: { tcp: `127.0.0.1:${port}` },
  whitelist: ['dev.shop.*.*'],
  labels: { version: '1.4' }
})
console.log('registered', registration.address)
process.once('SIGTERM', () => void registration.close())

const { reason } = await registration.closed
console.log('no longer registered:', reason)
server.close()
