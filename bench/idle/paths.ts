import { AgentClient, register } from '../../src/client/index.ts'
import type { Scope, TestAgent } from '../../test/harness/index.ts'

/** Sockets of `near` that lead to as many workloads of `far`, all of which stand for `target`; one of each may have 8,192 flows. */
export async function pathsBetween(
  scope: Scope,
  near: TestAgent,
  far: TestAgent,
  { target, workloads }: { readonly target: string; readonly workloads: number }
): Promise<string[]> {
  await near.cli('allow', 'bench.*.*.*', 'bench.*.*.*')
  await far.follows(near)
  const [here, there] = [near, far].map(agent => new AgentClient({ runtimeDir: agent.runtimeDir })) as [
    AgentClient,
    AgentClient
  ]
  scope.defer(() => Promise.all([here.close(), there.close()]))
  const pairs = Array.from({ length: workloads }, (_, at) => ({
    source: `bench.load.client${at}.default`,
    destination: `bench.target.server${at}.default`
  }))
  for (const { destination } of pairs) await register(destination, { client: there, target: { unix: target } })
  for (const { destination } of pairs) await near.knows(destination)
  const paths: string[] = []
  // Last: an endpoint that nobody connects to within 10 s is removed.
  for (const { source, destination } of pairs) {
    const { token } = await register(source, { client: here })
    paths.push((await here.workload.connect({ token, destination })).path)
  }
  return paths
}
