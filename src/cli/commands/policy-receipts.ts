import type { Command } from 'commander'
import { contextOf } from '../context.ts'
import { awaitReceipts, parseTimeout } from '../options/receipts.ts'
import { receiptsSummary, receiptTable } from '../output/index.ts'

const AFTER = `
A host answers once it has applied the version: after its receipt no byte of a flow that the version denies passes it. Each host signs its
receipt. Exit code 0 if every member has applied the version, 3 if one has not said so. The version is that of what the admin of this host
has stated.`

export function addPolicyReceipts(policy: Command): void {
  policy
    .command('receipts')
    .description('list which hosts have applied the policy in force here, and what they cut')
    .option('--timeout <time>', 'how long to wait for hosts that have not applied it (default: 10s)')
    .addHelpText('after', AFTER)
    .action(async (options: { readonly timeout?: string }, command: Command) => {
      const timeoutMs = parseTimeout(options.timeout)
      const context = contextOf(command)
      const awaited = await awaitReceipts(context, 0n, timeoutMs)
      context.show(awaited, ({ receipts }) => receiptTable(receipts, Date.now()))
      context.say(receiptsSummary(awaited.version, awaited.receipts))
    })
}
