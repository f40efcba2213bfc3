import assert from 'node:assert/strict'
import { once } from 'node:events'
import test from 'node:test'
import { AgentClient, connect, listen, type MeshDatagramSocket } from '../../src/client/index.ts'
import { scopeOf, startPair, type TestAgent, waitFor } from '../harness/index.ts'

const ECHO = 'dev.time.echo.default'

async function carriers(agent: TestAgent): Promise<string[]> {
  const { flows = [] } = JSON.parse(await agent.cli('flows', '--json')) as { flows?: Array<{ carrier: string }> }
  return flows.map(flow => flow.carrier)
}

for (const [oversize, largest, dropped] of [
  ['drop', 1_413, '1'],
  ['capsule', 60_000, '0']
] as const) {
  test(`a datagram of ${largest} bytes arrives between hosts whose packets arrive, with --oversize ${oversize}`, async t => {
    const scope = scopeOf(t)
    const [a, b] = await startPair(scope, { args: ['--oversize', oversize] })
    const [near, far] = [a, b].map(({ runtimeDir }) => new AgentClient({ runtimeDir })) as [AgentClient, AgentClient]
    scope.defer(() => near.close())
    scope.defer(() => far.close())
    const server = await listen(ECHO, { client: far, protocol: 'udp', whitelist: ['dev.*.*.*'] })
    server.on('connection', (socket: MeshDatagramSocket) => {
      socket.on('error', () => {}).on('message', payload => void socket.send(payload))
    })
    await a.knows(ECHO)
    const socket = await connect(ECHO, { client: near, protocol: 'udp', as: 'dev.shop.cart.default' })
    scope.defer(() => socket.close())
    const echo = async (bytes: number): Promise<number> => {
      const answered = once(socket, 'message') as Promise<[Buffer]>
      await socket.send(Buffer.alloc(bytes, 7))
      return (await answered)[0].length
    }
    await waitFor(async () => {
      assert.equal(await echo(1_000), 1_000)
      return (await Promise.all([a, b].map(carriers))).flat().every(carrier => carrier === 'udp')
    }, 'packets to arrive')
    assert.equal(await echo(largest), largest)
    if (oversize === 'drop') await socket.send(Buffer.alloc(largest + 1, 7))
    assert.equal(await echo(1_200), 1_200)
    const counted = /^warren_datagrams_dropped_total\{reason="oversize"\} (\d+)$/m.exec(await a.cli('metrics'))?.[1]
    assert.equal(counted ?? '0', dropped)
  })
}
