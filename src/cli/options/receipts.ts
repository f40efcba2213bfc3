import type { Command } from 'commander'
import type { AgentClient, CallOptions } from '../../client/index.ts'
import { ErrorCode, parseDuration, WarrenError } from '../../core/index.ts'
import type { Context } from '../context.ts'
import { Exit } from '../exit.ts'
import { missingHosts, type ReceiptView, receiptLine, receiptsSummary, receiptView } from '../output/index.ts'

/** The options of `addReceiptsWait`. */
export interface WaitOptions {
  readonly wait?: true
  readonly timeout?: string
}

/** What was learned while a command waited; nothing without --wait. */
export interface Awaited {
  readonly complete?: boolean
  /** Members that have not said that they applied it. */
  readonly missing?: readonly string[]
  readonly receipts?: readonly ReceiptView[]
}

const MIN_WAIT_MS = 100
const MAX_WAIT_MS = 3_600_000

/** `--wait` and `--timeout`: the command ends when every live host has applied the change. */
export function addReceiptsWait(command: Command): Command {
  return command
    .option('--wait', 'end when every live host has applied this; exit code 3 if one has not')
    .option('--timeout <time>', 'how long to wait for other hosts, at most (default: 10s)')
}

/** Whether a dry run asks all hosts. Throws INVALID_OPTION for --mesh without --dry-run: nobody means to change the policy then. */
export function isOnMesh({ dryRun, mesh }: { readonly dryRun?: true; readonly mesh?: true }): boolean {
  if (mesh !== true || dryRun === true) return mesh === true
  throw new WarrenError(ErrorCode.InvalidOption, '--mesh is for --dry-run', {
    hint: 'Add --dry-run; a change itself is for all hosts in any case.'
  })
}

/** Throws INVALID_OPTION for --timeout without --mesh, where nobody else is waited for. */
export function requireMesh({ mesh, timeout }: { readonly mesh?: true; readonly timeout?: string }): void {
  if (mesh === true || timeout === undefined) return
  throw new WarrenError(ErrorCode.InvalidOption, '--timeout is for --mesh', { hint: 'Add --mesh.' })
}

/** Checks the options, before anything is changed. Returns what waits for the hosts, if it is wanted. */
export function receiptsWait(context: Context, { wait, timeout }: WaitOptions): (version: bigint) => Promise<Awaited> {
  if (wait !== true && timeout !== undefined) {
    throw new WarrenError(ErrorCode.InvalidOption, '--timeout is for --wait', { hint: 'Add --wait.' })
  }
  const timeoutMs = parseTimeout(timeout)
  return async version => {
    if (wait !== true) return {}
    // Without a change, by an admin who has stated nothing: there is no version that a host could have applied.
    if (version === 0n) return { complete: true, missing: [], receipts: [] }
    try {
      return await awaitReceipts(context.agent, version, timeoutMs)
    } catch (err) {
      const { code, reason, hint } = WarrenError.from(err)
      const text = `policy version ${version} is in force here, and the wait for the other hosts failed: ${reason}`
      throw new WarrenError(code, text, { cause: err, ...(hint !== undefined && { hint }) })
    }
  }
}

/** A time to wait for receipts, in milliseconds; zero: the agent decides. Throws INVALID_ARGUMENT. */
export function parseTimeout(timeout: string | undefined): number {
  return timeout === undefined ? 0 : parseDuration('--timeout', timeout, MIN_WAIT_MS, MAX_WAIT_MS)
}

/** Waits for the hosts, and sets the exit code. With zero as the version: that in force. */
export async function awaitReceipts(
  agent: AgentClient,
  wanted: bigint,
  timeoutMs: number,
  options: CallOptions = {}
): Promise<Required<Awaited> & { readonly version: bigint }> {
  const receipts: ReceiptView[] = []
  let [version, complete] = [wanted, false]
  for await (const answer of agent.admin.awaitReceipts({ version: wanted, timeoutMs }, options)) {
    receipts.push(...answer.hosts.map(receiptView))
    complete = answer.complete
    version = answer.version
  }
  if (!complete) process.exitCode = Exit.Incomplete
  return { version, complete, missing: missingHosts(receipts), receipts }
}

/** Says what was learned, a line for each host. */
export function sayReceipts({ say }: Context, version: bigint, { complete, receipts }: Awaited): void {
  if (complete === undefined || receipts === undefined) return
  if (version === 0n) {
    say('there is nothing to wait for: the admin of this host has stated nothing yet')
    return
  }
  for (const receipt of receipts) say(receiptLine(receipt))
  say(receiptsSummary(version, receipts))
}
