import { AgentClient, register } from '../../src/client/index.ts'
import { type Scope, startPair } from '../../test/harness/index.ts'
import type { Contender } from '../contender.ts'

/** Two agents that trust each other, and an ordinary unix server behind one of them. */
export const warren = (carrier: 'direct' | 'libp2p'): Contender => ({
  name: carrier === 'direct' ? 'warren' : 'warren over libp2p',
  missing: () => undefined,
  start: async (scope: Scope, target: string) => {
    const [a, b] = await startPair(scope, { args: ['--carrier', carrier, '--log-level', 'warn'] })
    await a.cli('allow', 'bench.*.*.*', 'bench.*.*.*')
    await b.follows(a)
    const near = new AgentClient({ runtimeDir: a.runtimeDir })
    const far = new AgentClient({ runtimeDir: b.runtimeDir })
    scope.defer(async () => await Promise.all([near.close(), far.close()]))
    await register('bench.target.server.default', { client: near, target: { unix: target } })
    const source = await register('bench.load.client.default', { client: far })
    await b.knows('bench.target.server.default')
    const { path } = await far.workload.connect({ token: source.token, destination: 'bench.target.server.default' })
    return path
  }
})
