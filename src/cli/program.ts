import { Command, Option } from 'commander'
import { packageVersion } from '../core/index.ts'
import { COMMAND_GROUPS } from './commands/index.ts'
import { addUp } from './commands/up.ts'
import { refuseEmptyValues } from './options/index.ts'
import { COLOR_CHOICES } from './output/index.ts'

const AFTER = `
Addresses are SCOPE.GROUP.NAME.RESOURCE[.MACHINE], as in dev.web.nginx.default; in a pattern each part may be * or {a,b}.
Exit codes: 0 done, 1 failed, 2 usage error.

First steps:
  a$ warren up --init example.org --name a
  a$ warren token create b                                    prints TOKEN
  b$ warren up --join TOKEN
  a$ warren expose dev.web.site.default --tcp 127.0.0.1:8080
  a$ warren allow 'dev.*.*.*' dev.web.site.default
  b$ warren forward dev.web.site.default --listen 127.0.0.1:9090`

/**
 * The whole command line. It throws commander's errors instead of printing them and exiting.
 *
 * `first` is its first word, if it is known. For `up` the other commands are left out: an agent starts sooner without them.
 */
export function buildProgram(first?: string): Command {
  const program = new Command('warren')
    .description('A mesh agent: workload identity, discovery and brokered sockets between hosts, without servers.')
    .version(packageVersion(), '-V, --version')
    .option(
      '--runtime-dir <dir>',
      'directory of the agent to use (default: $WARREN_RUNTIME_DIR, else that of this user or host)'
    )
    .option('--json', 'print data as JSON')
    .option('-q, --quiet', 'print only errors on standard error')
    .addOption(
      new Option(
        '--color <when>',
        'colours in tables: auto is in a terminal, unless NO_COLOR is set (default: auto)'
      ).choices(COLOR_CHOICES)
    )
    .addHelpText('after', AFTER)
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({ outputError: () => {} })
    .exitOverride()
  if (first === 'up') addUp(program)
  else addAll(program)
  refuseEmptyValues(program)
  return program
}

function addAll(program: Command): void {
  for (const [heading, adders] of COMMAND_GROUPS) {
    program.commandsGroup(heading)
    for (const add of adders) add(program)
  }
}
