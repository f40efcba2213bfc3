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
  const paths: string[] = []
  for (let at = 0; at < workloads; at += 1) {
    const destination = `bench.target.server${at}.default`
    await register(destination, { client: there, target: { unix: target } })
    const { token } = await register(`bench.load.client${at}.default`, { client: here })
    await near.knows(destination)
    paths.push((await here.workload.connect({ token, destination })).path)
  }
  return paths
}
