import assert from 'node:assert/strict'
import { createNattedHosts, type NattedHosts, type PortChoice, type Scope, TestAgent } from '../../harness/index.ts'

export interface NattedAgents {
  readonly hosts: NattedHosts
  readonly agents: { readonly open: TestAgent; readonly left: TestAgent; readonly right: TestAgent }
}

/**
 * Agents on hosts of which two are behind NATs. The open host founded the mesh; the other two reach it, and each other only with its
 * help. `leftPorts`: how the NAT on the left chooses ports.
 */
export async function startNatted(scope: Scope, leftPorts: PortChoice): Promise<NattedAgents> {
  const hosts = await createNattedHosts(scope)
  // Before anything is known of it.
  hosts.nats.left.setPorts(leftPorts)
  const open = new TestAgent(scope, { name: 'open', args: ['--no-mdns'], host: hosts.open })
  await open.start(['--init', 'example.org', '--no-mdns'])
  await open.allow('dev.*.*.*', 'dev.*.*.*')
  const [left, right] = await Promise.all(
    (['left', 'right'] as const).map(async name => {
      const agent = new TestAgent(scope, { name, args: ['--no-mdns'], host: hosts[name] })
      return await agent.start(['--join', await open.token(name), '--no-mdns'])
    })
  )
  assert.ok(left !== undefined && right !== undefined)
  await Promise.all([left.follows(open), right.follows(open)])
  return { hosts, agents: { open, left, right } }
}
