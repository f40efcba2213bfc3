import { homedir } from 'node:os'
import { join } from 'node:path'
import type { Command } from 'commander'
import { ErrorCode, type HostPort, isLoopback, parseHostPort, systemClock, WarrenError } from '../../core/index.ts'
import { serveDns } from '../../listeners/index.ts'
import { AwaitedAgent, noWaitOption } from '../await-agent.ts'
import { contextOf } from '../context.ts'
import { MeshNames, NameAddresses, NameUsers, type UserSource } from '../listeners/names/index.ts'
import { ownUid } from '../listeners/proxy/index.ts'
import {
  collect,
  keepAliveOption,
  parseKeepAlive,
  parsePorts,
  parseUid,
  type StrategyOption,
  strategyOption
} from '../options/index.ts'
import { clauseWithHint, print, printJsonLine, RateLimitedLines } from '../output/index.ts'
import { endingSignals, inWords } from '../signals.ts'

const ADDRESS = /^[A-Za-z0-9][A-Za-z0-9_-]{0,62}(?:\.[A-Za-z0-9][A-Za-z0-9_-]{0,62}){3}$/

interface DnsCommandOptions {
  readonly listen: string
  readonly as?: string
  readonly scope?: string
  readonly port?: string[]
  readonly allowUid?: string[]
  readonly eachUser?: true
  readonly stateDir?: string
  readonly strategy: StrategyOption
  readonly keepalive: string
  readonly wait: boolean
}

export function addDns(program: Command): void {
  program
    .command('dns')
    .description('DNS server for ADDRESS.warren: each name leads to a local address, where unmodified clients connect')
    .option('--listen <host:port>', 'loopback address and port for queries, UDP and TCP', '127.0.0.1:5300')
    .option(
      '--as <address>',
      'address of the source (default: SCOPE.user.YOU.default, in the scope of each destination)'
    )
    .option('--scope <scope>', 'let GROUP.NAME.warren stand for SCOPE.GROUP.NAME.default')
    .option('--port <port>', 'port of services that declare none; may be repeated', collect)
    .option(
      '--allow-uid <uid|uid=address>',
      'connect the programs of this user too, as you or as that address; may be repeated',
      collect
    )
    .option('--each-user', 'connect the programs of every user, each as SCOPE.user.NAME.default')
    .option(
      '--state-dir <dir>',
      'directory of the addresses, so that names keep them (default: $XDG_STATE_HOME/warren-dns, for root /var/lib/warren-dns)'
    )
    .addOption(strategyOption())
    .addOption(keepAliveOption())
    .addOption(noWaitOption())
    .action(async (options: DnsCommandOptions, command: Command) => {
      const at = localAddress(options.listen)
      const { as, strategy } = options
      const scope = options.scope === undefined ? undefined : parseScope(options.scope)
      const allowed = (options.allowUid ?? []).map(parseAllowed)
      const ports = parsePorts(options.port ?? [])
      const keepAliveMs = parseKeepAlive(options.keepalive)
      const context = contextOf(command)
      const { json, say } = context
      const { uidOfStream, uidOfDatagrams, nameOf } = await callers()
      const ending = endingSignals(inWords(say))
      const agent = new AwaitedAgent(context, { wait: options.wait, signal: ending.signal })
      await agent.call(one => one.workload.listServices({ pattern: '*.*.*.*' }, { signal: ending.signal }))
      const failures = new RateLimitedLines(say)
      const onFailure = (err: unknown): void => failures.line(clauseWithHint(err), performance.now())
      const addresses = await NameAddresses.open(options.stateDir ?? defaultStateDir(), { onFailure })
      const names = new MeshNames({
        ...{ client: () => agent.client, addresses, scope, ports, strategy, keepAliveMs, onFailure },
        uidOf: uidOfStream,
        users: new NameUsers({
          as,
          users: new Map<number, UserSource>([[ownUid(), 'shared'], ...allowed]),
          nameOf: options.eachUser === true ? nameOf : undefined
        })
      })
      const answer: MeshNames['answer'] = (question, uid) => names.answer(question, uid)
      try {
        const dns = await serveDns(at, { answer, uidOfDatagrams, uidOfStream, onFailure })
        await names.restore()
        if (json) printJsonLine({ listen: dns.bound, as })
        else print(dns.bound)
        const whose = options.eachUser === true ? '; those of other users from SCOPE.user.NAME.default' : ''
        say(`${dns.bound} answers for ADDRESS.warren; connections come from ${as ?? 'SCOPE.user.YOU.default'}${whose}`)
        say(
          `try: dig +noall +answer +comments @${at.host} -p ${dns.bound.replace(/.*:/, '')} dev.web.site.default.warren`
        )
        await ending.asked
        dns.close()
      } finally {
        names.close()
        addresses.close()
      }
      await agent.client.close()
    })
}

/** How the kernel is asked who a client is. Throws UNSUPPORTED on a system whose kernel is not asked. */
async function callers() {
  const { callerOfLoopback, DirectoryService, senderOfLoopback, UserDatabase } = await import('../../attest/index.ts')
  const database = new UserDatabase(new DirectoryService(systemClock))
  const nameOf = async (uid: number): Promise<string | undefined> => (await database.usersOf(uid))[0]
  try {
    return { uidOfStream: callerOfLoopback(), uidOfDatagrams: senderOfLoopback(), nameOf }
  } catch (cause) {
    if (!WarrenError.is(cause, ErrorCode.Unsupported)) throw cause
    throw new WarrenError(ErrorCode.Unsupported, cause.reason, {
      hint: 'Names need Linux, which also has an address for each of them: use `warren proxy` at a unix socket, or `warren forward`.',
      cause
    })
  }
}

/** Throws INVALID_OPTION for an address that other machines could reach. */
function localAddress(text: string): HostPort {
  const { host, port } = parseHostPort(text, { option: '--listen' })
  if (isLoopback(host)) return { host: host.toLowerCase() === 'localhost' ? '127.0.0.1' : host, port }
  throw new WarrenError(ErrorCode.InvalidOption, `--listen ${text} can be reached from other machines`, {
    hint: 'The addresses in its answers are those of this host alone: give 127.0.0.1:PORT.'
  })
}

/** A user of `--allow-uid`, and as whom. Throws INVALID_OPTION. */
function parseAllowed(text: string): readonly [uid: number, source: UserSource] {
  const [digits = '', as] = text.split(/=(.*)/s)
  const uid = parseUid(digits)
  if (as === undefined) return [uid, 'shared']
  if (ADDRESS.test(as)) return [uid, { as }]
  throw new WarrenError(ErrorCode.InvalidOption, `--allow-uid "${text.slice(0, 80)}" names no address`, {
    hint: `Write it as ${uid}=dev.shop.cart.default.`
  })
}

function parseScope(text: string): string {
  if (/^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/.test(text)) return text
  throw new WarrenError(ErrorCode.InvalidOption, `--scope "${text.slice(0, 80)}" is no scope`, {
    hint: 'A scope is the first part of an address, as dev in dev.web.site.default.'
  })
}

function defaultStateDir(): string {
  if (ownUid() === 0) return '/var/lib/warren-dns'
  return join(process.env['XDG_STATE_HOME'] || join(homedir(), '.local', 'state'), 'warren-dns')
}
