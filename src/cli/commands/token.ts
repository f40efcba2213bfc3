import { type Command, InvalidArgumentError } from 'commander'
import { ErrorCode, parseDuration, WarrenError } from '../../core/index.ts'
import { contextOf } from '../context.ts'
import { asList, type List, type ListOptions, showList } from '../lists.ts'
import { collect } from '../options/index.ts'
import {
  formatDuration,
  isHidden,
  type JoinUseView,
  joinUseTable,
  joinUseView,
  ONLY_LOOPBACK,
  type TokenView,
  tokenTable,
  tokenView
} from '../output/index.ts'

const MIN_TTL_MS = 1_000
// The field has 32 bits; the agent has a bound of its own below that.
const MAX_TTL_MS = 2 ** 32 - 1

const TOKENS: List<{ readonly tokens: readonly TokenView[] }> = {
  load: async (agent, options) => ({ tokens: (await agent.admin.listTokens({}, options)).tokens.map(tokenView) }),
  text: ({ tokens }) => tokenTable(tokens, Date.now())
}

function tokenOf(id: string): List<{ readonly token: TokenView | undefined; readonly uses: readonly JoinUseView[] }> {
  return {
    load: async (agent, options) => {
      const { token, uses } = await agent.admin.getToken({ id }, options)
      return { token: token === undefined ? undefined : tokenView(token), uses: uses.map(joinUseView) }
    },
    text: ({ token, uses }) => {
      const now = Date.now()
      const one = tokenTable(token === undefined ? [] : [token], now)
      return [one, ...(uses.length === 0 ? [] : [joinUseTable(uses, now)])].join('\n\n')
    },
    notes: ({ token }) => [`${(token?.uses ?? 0) - (token?.used ?? 0)} of ${token?.uses ?? 0} uses are left`]
  }
}

export function addToken(program: Command): void {
  const token = program.command('token').description('let other hosts join')
  addCreate(token)
  asList(
    token
      .command('list')
      .description(
        'list the tokens that this host made, newest first; the list keeps them until a week after their end'
      )
  ).action(async (options: ListOptions, command: Command) => await showList(contextOf(command), TOKENS, options))
  asList(
    token
      .command('show')
      .description('show a token and the hosts that it has admitted')
      .argument('<token-id>', 'its id, as `warren token list` shows it')
  ).action(
    async (id: string, options: ListOptions, command: Command) =>
      await showList(contextOf(command), tokenOf(id), options)
  )
  token
    .command('revoke')
    .description('revoke a token that has a use left; hosts that it admitted stay')
    .argument('<token-id>', 'its id, as `warren token list` shows it')
    .action(async (id: string, _options: unknown, command: Command) => {
      const { agent, show, say } = contextOf(command)
      const { token: found } = await agent.admin.revokeToken({ id })
      const view = found === undefined ? undefined : tokenView(found)
      show({ token: view }, () => view?.id ?? '')
      say(`the token for ${view?.machine ?? ''} no longer admits a host`)
    })
}

interface CreateOptions {
  readonly name?: string
  readonly uses: number
  readonly ttl: string
  readonly scope?: string[]
  readonly ephemeral?: boolean
  readonly from?: string[]
  readonly needsApproval?: boolean
}

function addCreate(token: Command): void {
  token
    .command('create')
    .description('print a token that admits one host once, or a number of hosts')
    .argument('[machine]', 'the name that the host will have')
    .option('--name <pattern>', "for several hosts: the names that they may have, as in 'web-*'")
    .option('--uses <number>', 'number of hosts that the token admits', wholeNumber, 1)
    .option('--ttl <time>', 'lifetime of the token, as in 30m', '1h')
    .option('--scope <scope>', 'limit the hosts to this scope; may be repeated', collect)
    .option('--ephemeral', 'the hosts leave the mesh when they end, and their names are free then')
    .option('--from <network>', 'admit only hosts from this network, as in 10.0.0.0/8; may be repeated', collect)
    .option('--needs-approval', 'hold each host outside until `warren admit MACHINE`')
    .action(async (given: string | undefined, options: CreateOptions, command: Command) => {
      const machine = oneName(given, options.name)
      const ttlMs = parseDuration('--ttl', options.ttl, MIN_TTL_MS, MAX_TTL_MS)
      const { agent, show, say } = contextOf(command)
      const { uses, ephemeral = false, from = [], needsApproval = false } = options
      const request = { machine, ttlMs, scopes: options.scope ?? [], uses, ephemeral, from, needsApproval }
      const { token: text, id, expiresAtMs } = await agent.admin.createToken(request)
      show({ token: text, id, machine, uses, expiresAtMs }, () => text)
      // The token is made: whatever the status says must not fail the command.
      const status = await agent.workload.getStatus({}).catch(() => undefined)
      if (status !== undefined && isHidden(status.dataAddresses))
        say(`warning: no other host can use the token: ${ONLY_LOOPBACK}`)
      const isOpen = machine.includes('*')
      const whom = isOpen ? `${uses === 1 ? 'one host' : `${uses} hosts`} named ${machine}` : `${machine} once`
      const there = isOpen ? 'warren up --join TOKEN --name NAME' : 'warren up --join TOKEN'
      say(`admits ${whom}, within ${formatDuration(Number(expiresAtMs) - Date.now())}; there: ${there}`)
      if (needsApproval) say('each host then waits for: warren admit MACHINE (warren admit --list)')
    })
}

function oneName(machine: string | undefined, pattern: string | undefined): string {
  if (machine !== undefined && pattern === undefined) return machine
  if (machine === undefined && pattern !== undefined) return pattern
  throw new WarrenError(ErrorCode.InvalidArgument, 'a token needs either a machine name or --name', {
    hint: "For one host: `warren token create web-1`; for several: `warren token create --name 'web-*' --uses 10`."
  })
}

function wholeNumber(text: string): number {
  if (/^[1-9]\d{0,5}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('It is a whole number of hosts, as in 20.')
}
