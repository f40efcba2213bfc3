import { join } from 'node:path'
import { AgentClient, register } from '../../src/client/index.ts'
import { apiPb } from '../../src/wire/index.ts'
import { type Scope, startPair, TestAgent, WARREN } from '../../test/harness/index.ts'
import type { Contender, Started } from '../contender.ts'
import { BEFORE } from '../report.ts'

const SERVER = 'bench.target.server.default'
const CLIENT = 'bench.load.client.default'

type Carrier = 'direct' | 'mesh-port' | 'mesh' | 'relay'

const NAMES: Readonly<Record<Carrier, string>> = {
  direct: 'warren',
  'mesh-port': 'warren at the mesh port',
  mesh: 'warren over mesh',
  relay: 'warren over a relay'
}

/** Two agents that trust each other, and an ordinary unix server behind one of them. */
export const warren = (carrier: Carrier): Contender => ({
  name: NAMES[carrier],
  missing: () => undefined,
  start: async (scope: Scope, target: string) => await unixServer(scope, target, carrier)
})

/** As `warren`, and both agents keep an audit log. */
export const warrenAudited: Contender = {
  name: 'warren with audit',
  missing: () => undefined,
  start: async (scope: Scope, target: string) => await unixServer(scope, target, 'direct', WARREN, ['--audit', 'on'])
}

/** As `warren`, and both agents resume flows. */
export const warrenResuming: Contender = {
  name: 'warren with resumption',
  missing: () => undefined,
  start: async (scope: Scope, target: string) =>
    await unixServer(scope, target, 'direct', WARREN, ['--resume-window', '30s'])
}

/** As `warren`, by the build of another checkout, whose `npm run build` has run. */
export const warrenBefore = (checkout: string): Contender => ({
  name: BEFORE,
  missing: () => undefined,
  start: async (scope: Scope, target: string) =>
    await unixServer(scope, target, 'direct', join(checkout, 'bin', 'warren.js'))
})

async function unixServer(
  scope: Scope,
  target: string,
  carrier: Carrier,
  build = WARREN,
  options: readonly string[] = []
): Promise<Started> {
  const [a, b, relay] = await allowedPair(scope, carrier, build, options)
  const { path, pids } = await endpoint(scope, a, b, { unix: target }, 'tcp')
  return { path, pids: relay === undefined ? pids : [...pids, relay.pid] }
}

/** The same for datagrams: a UDP server behind one of them, a framed stream socket, as the library uses it, at the other. */
export const warrenUdp: Contender = {
  name: 'warren',
  missing: () => undefined,
  start: async (scope: Scope, target: string) => {
    const [a, b] = await allowedPair(scope, 'direct')
    return await endpoint(scope, a, b, { udp: target }, 'udp')
  }
}

/** As `warrenUdp`, with a UDP port at this end too: `warren forward`, a process more. */
export const warrenUdpForward: Contender = {
  name: 'warren with forward',
  missing: () => undefined,
  start: async (scope: Scope, target: string) => {
    const [a, b] = await allowedPair(scope, 'direct')
    await a.spawn(['expose', SERVER, '--udp', target]).says(/^bench\./m)
    await b.knows(SERVER)
    const forward = b.spawn(['forward', SERVER, '--udp', '--listen', '127.0.0.1:0', '--as', CLIENT])
    const [, bound = ''] = await forward.says(/^(127\.0\.0\.1:\d+)/m)
    return { path: bound, pids: [a.pid, b.pid] }
  }
}

async function allowedPair(
  scope: Scope,
  carrier: Carrier,
  build = WARREN,
  options: readonly string[] = []
): Promise<readonly [TestAgent, TestAgent, TestAgent?]> {
  const args = ['--carrier', carrier, '--log-level', 'warn', ...options]
  const [a, b] = await startPair(scope, { args, build })
  await a.cli('allow', 'bench.*.*.*', 'bench.*.*.*')
  await b.follows(a)
  return carrier === 'relay' ? [a, b, await relayFor(scope, a, b, args, build)] : [a, b]
}

/** A third member, which may relay between the two. */
async function relayFor(
  scope: Scope,
  a: TestAgent,
  b: TestAgent,
  args: readonly string[],
  build: string
): Promise<TestAgent> {
  const c = new TestAgent(scope, { name: 'c', args })
  await c.start(['--join', (await a.cli('token', 'create', 'c')).trim(), ...args], build)
  await Promise.all([a.sees(2), b.sees(2)])
  return c
}

async function endpoint(
  scope: Scope,
  a: TestAgent,
  b: TestAgent,
  target: { readonly unix: string } | { readonly udp: string },
  protocol: 'tcp' | 'udp'
): Promise<Started> {
  const near = new AgentClient({ runtimeDir: a.runtimeDir })
  const far = new AgentClient({ runtimeDir: b.runtimeDir })
  scope.defer(async () => await Promise.all([near.close(), far.close()]))
  await register(SERVER, { client: near, target })
  const source = await register(CLIENT, { client: far })
  await b.knows(SERVER)
  const { path } = await far.workload.connect({
    token: source.token,
    destination: SERVER,
    protocol: protocol === 'udp' ? apiPb.Protocol.UDP : apiPb.Protocol.TCP
  })
  return { path, pids: [a.pid, b.pid] }
}
