import type { Command } from 'commander'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import { noWaitOption } from '../await-agent.ts'
import { contextOf } from '../context.ts'
import { collect, dnsNameOption } from '../options/index.ts'
import { clauseWithHint } from '../output/index.ts'
import { isolateNetwork, NotStarted, parsePair, prepare, SignalRelay, type Undo } from '../run/index.ts'

interface RunOptions {
  readonly as?: string
  readonly serve?: string[]
  readonly forward?: string[]
  readonly allow?: string[]
  readonly proxy: boolean
  readonly names?: boolean
  readonly svidFiles?: true
  readonly dnsName?: string[]
  readonly isolated?: true
  readonly wait: boolean
}

/** What a command wrote before it ended has so long to reach its server. */
const SETTLE_MS = 2_000

export function addRun(program: Command): void {
  program
    .command('run')
    .description('run a command as a workload: it reaches and serves the mesh without any setting of its own')
    .argument('<command...>', 'after --: the program and its arguments')
    .option(
      '--as <address>',
      'SCOPE.GROUP.NAME.RESOURCE of the command, for as long as it runs (default: none; it connects as SCOPE.user.YOU.default)'
    )
    .option(
      '--serve <address=port>',
      'the command listens on this port of 127.0.0.1, and serves that address; may be repeated',
      collect
    )
    .option(
      '--allow <pattern>',
      'let these sources of the same scope connect to it without a rule; may be repeated',
      collect
    )
    .option(
      '--forward <address=port>',
      'this port of 127.0.0.1 leads to that address or pattern; may be repeated',
      collect
    )
    .option('--no-proxy', 'make no proxy to ADDRESS.warren, and leave the variables for one as they are')
    .option(
      '--names',
      'let programs find ADDRESS.warren by DNS, also if no argument, variable or script mentions such a name (default: if one does)'
    )
    .option('--no-names', 'leave names of DNS as they are')
    .option('--svid-files', 'write its certificate and key to files; WARREN_SVID_DIR says where')
    .addOption(dnsNameOption())
    .option('--isolated', 'with a network that has warren and nothing else; needs root, on Linux')
    .addOption(noWaitOption())
    .action(async (argv: string[], options: RunOptions, command: Command) => {
      const serves = (options.serve ?? []).map(text => parsePair('--serve', text))
      const forwards = (options.forward ?? []).map(text => parsePair('--forward', text))
      if (options.allow !== undefined && serves.length === 0) {
        throw new WarrenError(ErrorCode.InvalidOption, '--allow is for an address that the command serves', {
          hint: 'Say which, and where the command listens: --serve dev.web.site.default=8080.'
        })
      }
      if (options.isolated === true && serves.length > 0) {
        throw new WarrenError(ErrorCode.InvalidOption, '--serve does not go with --isolated', {
          hint: 'The agent reaches no port of another network: let the command serve by the library, or leave --isolated out.'
        })
      }
      requireOwn(options)
      const context = contextOf(command)
      const signals = new SignalRelay()
      const undo: Undo[] = []
      try {
        if (options.isolated === true) await isolateNetwork()
        const { as, allow = [], dnsName: dnsNames, names, proxy, svidFiles = false, wait } = options
        const wishes = { argv, as, dnsNames, serves, allow, forwards, proxy, names, svidFiles, wait }
        const { env, wrap } = await prepare(context, wishes, signals, undo)
        process.exitCode = await signals.run({ argv: wrap(argv), env })
      } catch (err) {
        if (!(err instanceof NotStarted)) throw err
        context.say(clauseWithHint(err))
        process.exitCode = err.exitCode
      } finally {
        const over = AbortSignal.timeout(SETTLE_MS)
        for (const one of undo.reverse()) await one(over)
      }
    })
}

/** Throws INVALID_OPTION for what needs an address of the command. */
function requireOwn({ as, svidFiles, dnsName }: RunOptions): void {
  if (as !== undefined || (svidFiles === undefined && dnsName === undefined)) return
  throw new WarrenError(ErrorCode.InvalidOption, '--svid-files and --dns-name are for the certificate of --as', {
    hint: 'Say whose it is: --as dev.shop.cart.default.'
  })
}
