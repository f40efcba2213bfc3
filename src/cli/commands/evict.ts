import type { Command } from 'commander'
import { contextOf } from '../context.ts'
import { addReceiptsWait, receiptsWait, sayReceipts, type WaitOptions } from '../options/receipts.ts'
import { revocationView } from '../output/index.ts'

interface ReasonOptions extends WaitOptions {
  readonly reason?: string
}

export function addEvict(program: Command): void {
  const evict = program
    .command('evict')
    .description('exclude a host: its connections, records and flows end, and all hosts refuse its keys for good')
    .argument('<machine>', 'its name, as `warren members` lists it')
    .option('--reason <text>', 'reason that `warren policy show` prints')
    .option('--force', 'also if this host has never seen a host of this name')
    .addHelpText(
      'after',
      `
A host may join under the name again, with a new token and an empty state directory. The eviction of an authority also evicts the
hosts that it admitted or renewed. If it is not compromised, remove its authority first (warren authority remove).`
    )
  addReceiptsWait(evict).action(
    async (machine: string, options: ReasonOptions & { force?: true }, command: Command) => {
      const context = contextOf(command)
      const { agent, show, say } = context
      const wait = receiptsWait(context, options)
      const { reason = '', force = false } = options
      const { revocation, version, also } = await agent.admin.evict({ machine, reason, force })
      const view = revocation === undefined ? undefined : revocationView(revocation)
      const awaited = await wait(version)
      show({ revocation: view, version, also, ...awaited }, () => view?.id ?? '')
      say(
        `${machine} is evicted, as of policy version ${version}; it can return with a new token and an emptied state directory; to undo the eviction: warren unrevoke ${view?.id ?? ''}`
      )
      if (also.length > 0) {
        say(`it was an authority, so these are evicted with it, and return in the same ways: ${also.join(', ')}`)
      }
      sayReceipts(context, version, awaited)
    }
  )
}

export function addRevoke(program: Command): void {
  const revoke = program
    .command('revoke')
    .description('withdraw trust from workloads or a key: flows end, and no certificate is accepted or issued')
    .argument('<what>', 'pattern of addresses, PeerId, or sha256:HEX of a key (SubjectPublicKeyInfo)')
    .option('--reason <text>', 'reason that `warren policy show` prints')
  addReceiptsWait(revoke).action(async (what: string, options: ReasonOptions, command: Command) => {
    const context = contextOf(command)
    const wait = receiptsWait(context, options)
    const { revocation, version } = await context.agent.admin.revoke({ what, reason: options.reason ?? '' })
    const view = revocation === undefined ? undefined : revocationView(revocation)
    const awaited = await wait(version)
    context.show({ revocation: view, version, ...awaited }, () => view?.id ?? '')
    context.say(`${what} is revoked, as of policy version ${version}; to undo this: warren unrevoke ${view?.id ?? ''}`)
    sayReceipts(context, version, awaited)
  })
}

export function addUnrevoke(program: Command): void {
  const unrevoke = program
    .command('unrevoke')
    .description('remove a revocation or an eviction')
    .argument('<revocation>', 'its id, as `warren policy show` lists it')
  addReceiptsWait(unrevoke).action(async (id: string, options: WaitOptions, command: Command) => {
    const context = contextOf(command)
    const wait = receiptsWait(context, options)
    const { version } = await context.agent.admin.unrevoke({ id })
    const awaited = await wait(version)
    context.show({ id, version, ...awaited }, () => id)
    context.say(`revocation ${id} is removed, as of policy version ${version}`)
    sayReceipts(context, version, awaited)
  })
}
