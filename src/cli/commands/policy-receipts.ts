import type { Command } from 'commander'
import { contextOf } from '../context.ts'
import { asList, type List, type ListOptions, showList } from '../lists.ts'
import { type Awaited, awaitReceipts, parseTimeout } from '../options/receipts.ts'
import { receiptsSummary, receiptTable } from '../output/index.ts'

const AFTER = `
A host answers once it has applied the version: after its receipt no byte of a flow that the version denies passes it. Each host signs its
receipt. Exit code 0 if every member has applied the version, 3 if one has not said so. The version is that of what the admin of this host
has stated.`

interface ReceiptsOptions extends ListOptions {
  readonly timeout?: string
}

export function addPolicyReceipts(policy: Command): void {
  const receipts = policy
    .command('receipts')
    .description('list which hosts have applied the policy in force here, and what they cut')
    .option('--timeout <time>', 'how long to wait for hosts that have not applied it (default: 10s)')
    .addHelpText('after', AFTER)
  asList(receipts).action(async ({ timeout, ...options }: ReceiptsOptions, command: Command) => {
    await showList(contextOf(command), receiptsWithin(parseTimeout(timeout)), options)
  })
}

function receiptsWithin(timeoutMs: number): List<Required<Awaited> & { readonly version: bigint }> {
  return {
    load: async (agent, options) => await awaitReceipts(agent, 0n, timeoutMs, options),
    text: ({ receipts }) => receiptTable(receipts, Date.now()),
    notes: ({ version, receipts }) => [receiptsSummary(version, receipts)]
  }
}
