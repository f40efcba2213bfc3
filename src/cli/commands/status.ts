import type { Command } from 'commander'
import { contextOf } from '../context.ts'
import { formatWhen } from '../output/quantities.ts'
import { pairs } from '../output/table.ts'
import { fields } from '../output/views.ts'

export function addStatus(program: Command): void {
  program
    .command('status')
    .description('what this host is, and how its agent does')
    .action(async (_options: unknown, command: Command) => {
      const { agent, show } = contextOf(command)
      const status = fields(await agent.workload.getStatus({}))
      show(status, () => pairs(describe(status)))
    })
}

type Status = Awaited<ReturnType<ReturnType<typeof contextOf>['agent']['workload']['getStatus']>>

function describe(status: Omit<Status, '$typeName' | '$unknown'>): Array<readonly [string, string]> {
  const now = Date.now()
  const roles = [status.authority ? 'admits hosts' : '', status.admin ? 'sets policy' : ''].filter(role => role !== '')
  return [
    ['machine', status.machine],
    ['trust domain', status.trustDomain],
    ['state', status.evicted === '' ? status.state : `${status.state}: ${status.evicted}`],
    ['role', roles.length === 0 ? 'member' : roles.join(', ')],
    ['members', `${status.members}, connected to ${status.connected}`],
    ['services', `${status.services}, of this host ${status.registrations}`],
    ['flows', `${status.flows} in ${status.sessions} sessions`],
    ['policy', status.policyVersion === 0n ? 'none: nothing is allowed' : `version ${status.policyVersion}`],
    ['certificate', formatWhen(Number(status.certificateNotAfterMs), now)],
    ['mesh', status.meshAddresses.join(' ')],
    ['data', status.dataAddresses.join(' ')],
    ['peer', status.peerId],
    ['started', formatWhen(Number(status.startedAtMs), now)],
    ['agent', `warren ${status.version}, pid ${status.pid}`]
  ]
}
