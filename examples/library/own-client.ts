import { AgentClient, connect } from '../../src/client/index.ts'

// Closed at the end of this block, with all that lives on it: registrations, connections, calls.
await using client = new AgentClient()
const socket = await connect('dev.web.echo.default', { as: 'dev.shop.cart.default', client })
socket.end('hello\n')
for await (const text of socket.setEncoding('utf8')) console.log('answer:', text.trim())

// The API of the agent itself, typed.
const { machine, trustDomain } = await client.workload.getStatus({})
console.log('agent', machine, 'of', trustDomain)
