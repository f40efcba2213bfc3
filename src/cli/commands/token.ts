import type { Command } from 'commander'
import { contextOf } from '../context.ts'
import { collect } from '../options/collect.ts'
import { parseDuration } from '../options/duration.ts'
import { formatDuration } from '../output/quantities.ts'

const MIN_TTL_MS = 1_000
// The field has 32 bits; the agent has a bound of its own below that.
const MAX_TTL_MS = 2 ** 32 - 1

export function addToken(program: Command): void {
  program
    .command('token')
    .description('let other hosts join')
    .command('create')
    .description('print a token that admits one host, once')
    .argument('<machine>', 'the name that the host will have')
    .option('--ttl <time>', 'how long it may be used, as in 30m', '1h')
    .option('--scope <scope>', 'limit the host to this scope; may be repeated', collect)
    .action(async (machine: string, options: { ttl: string; scope?: string[] }, command: Command) => {
      const ttlMs = parseDuration('--ttl', options.ttl, MIN_TTL_MS, MAX_TTL_MS)
      const { agent, show, say } = contextOf(command)
      const { token, expiresAtMs } = await agent.admin.createToken({ machine, ttlMs, scopes: options.scope ?? [] })
      show({ token, machine, expiresAtMs }, () => token)
      say(
        `admits ${machine} once, within ${formatDuration(Number(expiresAtMs) - Date.now())}; there: warren up --join TOKEN`
      )
    })
}
