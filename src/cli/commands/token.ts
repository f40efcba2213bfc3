import type { Command } from 'commander'
import { parseDuration } from '../../core/index.ts'
import { contextOf } from '../context.ts'
import { collect } from '../options/index.ts'
import { formatDuration, isHidden, ONLY_LOOPBACK, tokenTable, tokenView } from '../output/index.ts'

const MIN_TTL_MS = 1_000
// The field has 32 bits; the agent has a bound of its own below that.
const MAX_TTL_MS = 2 ** 32 - 1

export function addToken(program: Command): void {
  const token = program.command('token').description('let other hosts join')
  addCreate(token)
  token
    .command('list')
    .description('list the tokens that this host made, newest first; the list keeps them until a week after their end')
    .action(async (_options: unknown, command: Command) => {
      const { agent, show } = contextOf(command)
      const tokens = (await agent.admin.listTokens({})).tokens.map(tokenView)
      show({ tokens }, () => tokenTable(tokens, Date.now()))
    })
  token
    .command('revoke')
    .description('revoke a token that was not used yet')
    .argument('<token-id>', 'its id, as `warren token list` shows it')
    .action(async (id: string, _options: unknown, command: Command) => {
      const { agent, show, say } = contextOf(command)
      const { token: found } = await agent.admin.revokeToken({ id })
      const view = found === undefined ? undefined : tokenView(found)
      show({ token: view }, () => view?.id ?? '')
      say(`the token for ${view?.machine ?? ''} no longer admits a host`)
    })
}

function addCreate(token: Command): void {
  token
    .command('create')
    .description('print a token that admits one host, once')
    .argument('<machine>', 'the name that the host will have')
    .option('--ttl <time>', 'lifetime of the token, as in 30m', '1h')
    .option('--scope <scope>', 'limit the host to this scope; may be repeated', collect)
    .action(async (machine: string, options: { ttl: string; scope?: string[] }, command: Command) => {
      const ttlMs = parseDuration('--ttl', options.ttl, MIN_TTL_MS, MAX_TTL_MS)
      const { agent, show, say } = contextOf(command)
      const request = { machine, ttlMs, scopes: options.scope ?? [] }
      const { token: text, id, expiresAtMs } = await agent.admin.createToken(request)
      show({ token: text, id, machine, expiresAtMs }, () => text)
      // The token is made: whatever the status says must not fail the command.
      const status = await agent.workload.getStatus({}).catch(() => undefined)
      if (status !== undefined && isHidden(status.dataAddresses))
        say(`warning: no other host can use the token: ${ONLY_LOOPBACK}`)
      say(
        `admits ${machine} once, within ${formatDuration(Number(expiresAtMs) - Date.now())}; there: warren up --join TOKEN`
      )
    })
}
