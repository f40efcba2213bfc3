import type { Command } from 'commander'
import { contextOf } from '../context.ts'
import { revocationView } from '../output/index.ts'

interface ReasonOptions {
  readonly reason?: string
}

export function addEvict(program: Command): void {
  program
    .command('evict')
    .description('put a host out: its connections, records and flows end everywhere, and its keys are refused for good')
    .argument('<machine>', 'its name, as `warren members` lists it')
    .option('--reason <text>', 'why, for whoever reads the policy')
    .option('--force', 'also when no host of this name was ever seen here')
    .addHelpText(
      'after',
      `
A host may join under the name again: with a new token, and an empty state directory. The hosts that an authority admitted or
renewed go with it: if it is not compromised, take its authority away first (warren authority remove).`
    )
    .action(async (machine: string, options: ReasonOptions & { force?: true }, command: Command) => {
      const { agent, show, say } = contextOf(command)
      const { reason = '', force = false } = options
      const { revocation, version, also } = await agent.admin.evict({ machine, reason, force })
      const view = revocation === undefined ? undefined : revocationView(revocation)
      show({ revocation: view, version, also }, () => view?.id ?? '')
      say(`${machine} is evicted, as of policy version ${version}; back only by a new token`)
      if (also.length > 0) {
        say(`it was an authority, so these are out too, each back only by a new token: ${also.join(', ')}`)
      }
    })
}

export function addRevoke(program: Command): void {
  program
    .command('revoke')
    .description('withdraw trust from workloads or from a key; flows end, and no certificate of it counts or is issued')
    .argument('<what>', 'pattern of addresses, PeerId, or sha256:HEX of a key (SubjectPublicKeyInfo)')
    .option('--reason <text>', 'why, for whoever reads the policy')
    .action(async (what: string, { reason = '' }: ReasonOptions, command: Command) => {
      const { agent, show, say } = contextOf(command)
      const { revocation, version } = await agent.admin.revoke({ what, reason })
      const view = revocation === undefined ? undefined : revocationView(revocation)
      show({ revocation: view, version }, () => view?.id ?? '')
      say(`${what} is revoked, as of policy version ${version}; warren unrevoke ${view?.id ?? ''} takes it back`)
    })
}

export function addUnrevoke(program: Command): void {
  program
    .command('unrevoke')
    .description('take a revocation or an eviction back')
    .argument('<id>', 'its id, as `warren policy show` lists it')
    .action(async (id: string, _options: unknown, command: Command) => {
      const { agent, show, say } = contextOf(command)
      const { version } = await agent.admin.unrevoke({ id })
      show({ id, version }, () => id)
      say(`revocation ${id} is gone, as of policy version ${version}`)
    })
}
