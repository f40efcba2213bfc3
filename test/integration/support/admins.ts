import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { localCall, type TestAgent, waitFor } from '../../harness/index.ts'

export interface Policy {
  readonly sets: string
  readonly version: string
  readonly rules: ReadonlyArray<{
    readonly id: string
    readonly by: string
    readonly reason: string
    readonly createdAtMs: string
  }>
}

export interface Admins {
  readonly admins: ReadonlyArray<{ readonly name: string; readonly removedBy?: string; readonly here?: boolean }>
}

/** By the socket, since a command takes longer than what is waited for. Lists that are empty are left out there. */
export async function policyOf(agent: TestAgent): Promise<Policy> {
  const { body } = await localCall(agent.adminSocket, 'AdminService/GetPolicy')
  return { sets: '', version: '0', rules: [], ...(body as Partial<Policy>) }
}

export async function adminsOn(agent: TestAgent): Promise<Admins['admins']> {
  const { body } = await localCall(agent.adminSocket, 'AdminService/ListAdmins')
  return (body as Partial<Admins>).admins ?? []
}

export const idsOn = async (agent: TestAgent): Promise<string> =>
  (await policyOf(agent)).rules
    .map(({ id }) => id)
    .sort()
    .join(' ')

/** Waits until the rules in force are these on all of them. */
export async function inForce(agents: readonly TestAgent[], ids: string): Promise<void> {
  for (const agent of agents)
    await waitFor(async () => (await idsOn(agent)) === ids, `${ids} to be in force on ${agent.name}`)
}

export async function makeAdmin(
  owner: TestAgent,
  agent: TestAgent,
  name: string,
  role: string,
  ...more: string[]
): Promise<void> {
  const file = join(agent.stateDir, '..', `${name}.pub`)
  writeFileSync(file, await agent.cli('admin', 'key'))
  await owner.cli('admin', 'add', name, '--role', role, '--key', file, ...more)
  await waitFor(
    async () => (await adminsOn(agent)).some(admin => admin.name === name && admin.here === true),
    `${agent.name} to be ${name}`
  )
}
