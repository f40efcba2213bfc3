import assert from 'node:assert/strict'
import { type AddressInfo, createServer } from 'node:net'
import test from 'node:test'
import { AgentClient, connect, type RegisterOptions, type Registration, register } from '../../src/client/index.ts'
import { localCall, type Scope, scopeOf, TestAgent, waitFor } from '../harness/index.ts'

const SITE = 'dev.web.site.default'
const FLOWS = 2_000
const AT_ONCE = 20

interface Mesh {
  readonly near: TestAgent
  readonly count: (strategy: 'balanced' | 'spread', flows: number) => Promise<ReadonlyMap<string, number>>
  readonly serve: (host: TestAgent, options: RegisterOptions) => Promise<Registration>
  readonly stable: TestAgent
  readonly canary: TestAgent
}

/** A host with clients, and two of servers, of which one is in the zone of the clients. */
async function threeHosts(scope: Scope): Promise<Mesh> {
  const zones = { near: 'eu', stable: 'eu', canary: 'us' }
  const [near, stable, canary] = Object.keys(zones).map(name => new TestAgent(scope, { name, args: [] })) as [
    TestAgent,
    TestAgent,
    TestAgent
  ]
  await near.start(['--init', 'example.org', '--zone', zones.near])
  for (const host of [stable, canary]) {
    const token = await near.token(host.name)
    await host.start(['--join', token, '--zone', zones[host.name as 'stable' | 'canary']])
  }
  const clientOf = (agent: TestAgent): AgentClient => {
    const client = new AgentClient({ runtimeDir: agent.runtimeDir })
    scope.defer(() => void client.close())
    return client
  }
  const servers = createServer(socket => void socket.on('error', () => {}).end())
  await new Promise<void>(resolve => servers.listen(0, '127.0.0.1', resolve))
  scope.defer(() => servers.close())
  const tcp = `127.0.0.1:${(servers.address() as AddressInfo).port}`
  const clients = new Map([near, stable, canary].map(agent => [agent, clientOf(agent)]))
  return {
    near,
    stable,
    canary,
    serve: (host, options) =>
      register(SITE, { client: clients.get(host), target: { tcp }, whitelist: ['dev.*.*.*'], ...options }),
    async count(strategy, flows) {
      const counts = new Map<string, number>()
      let left = flows
      const run = async (): Promise<void> => {
        while (left > 0) {
          left -= 1
          const socket = await connect(SITE, { client: clients.get(near), as: 'dev.shop.cart.default', strategy })
          const { address } = socket.on('error', () => {}).peer
          counts.set(address, (counts.get(address) ?? 0) + 1)
          socket.destroy()
        }
      }
      await Promise.all(Array.from({ length: AT_ONCE }, run))
      return counts
    }
  }
}

interface Explained {
  readonly steps: ReadonlyArray<{ readonly subject: string; readonly text: string }>
}

test('weights of 90 and 10 share out 2,000 connections, and an instance of weight zero gets none', async t => {
  const { near, stable, canary, count, serve } = await threeHosts(scopeOf(t))
  const [STABLE, CANARY, DRAINED] = [stable, canary, near].map(({ name }) => `${SITE}.${name}`) as [
    string,
    string,
    string
  ]
  const explained = async (): Promise<string> => {
    const request = { source: 'dev.shop.cart.default.near', destination: SITE }
    const { body } = await localCall(near.adminSocket, 'AdminService/Explain', request)
    return (body as Explained).steps.find(({ subject }) => subject === 'choice')?.text ?? ''
  }
  const knows = (...weights: readonly number[]): Promise<unknown> =>
    waitFor(async () => {
      const { body } = await localCall(near.socket, 'WorkloadService/ListServices', { pattern: SITE })
      const { services = [] } = body as { services?: ReadonlyArray<{ weight: number }> }
      return JSON.stringify(services.map(({ weight }) => weight).sort()) === JSON.stringify([...weights].sort())
    }, `weights ${weights} to be known`)

  const nine = await serve(stable, { weight: 90 })
  const one = await serve(canary, { weight: 10 })
  const drained = await serve(near, { weight: 0 })
  await knows(90, 10, 0)

  const spread = await count('spread', FLOWS)
  const tenth = (spread.get(CANARY) ?? 0) / FLOWS
  t.diagnostic(`the canary got ${spread.get(CANARY)} of ${FLOWS}`)
  assert.equal((spread.get(CANARY) ?? 0) + (spread.get(STABLE) ?? 0), FLOWS)
  assert.ok(tenth > 0.05 && tenth < 0.16, `${tenth} of the connections reached the canary`)

  assert.equal((await count('balanced', 50)).get(STABLE), 50, 'the zone of the client comes first')
  assert.equal(
    await explained(),
    `balanced gives new connections to ${STABLE} 100 % (this zone, weight 90); none to ` +
      `${CANARY} (elsewhere: only if none of this zone is left), ${DRAINED} (weight 0: only if no other is left)`
  )
  const table = await near.cli('services', SITE)
  assert.match(table, /ADDRESS +SERVES +HEALTH +WEIGHT +ZONE +WHERE/)
  assert.match(table, new RegExp(`${STABLE} +tcp +passing +90 +eu +stable`))

  await nine.close()
  await knows(10, 0)
  assert.equal((await count('balanced', 10)).get(CANARY), 10, 'others follow where the zone has none')
  assert.match(
    await explained(),
    new RegExp(`^balanced gives new connections to ${CANARY} 100 % \\(elsewhere, weight 10\\)`)
  )
  await one.close()
  await knows(0)
  assert.equal((await count('balanced', 10)).get(DRAINED), 10, 'the drained one is better than none')
  await drained.close()
})
