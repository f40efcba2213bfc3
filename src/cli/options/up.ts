import { type Command, Option } from 'commander'
import { LOG_LEVELS, UP_OPTIONS, type UpOption, type UpOptionName } from '../../config/index.ts'
import { collect } from './collect.ts'

const optionOf = (name: UpOptionName): Option => {
  const { takes, help, ...kind }: UpOption = UP_OPTIONS[name]
  const option = new Option(`--${name} <${takes}>`, help)
  return 'readAll' in kind ? option.argParser(collect) : option
}

/** Adds the options of the agent to a command. */
export function addUpOptions(command: Command): Command {
  command
    .addOption(new Option('--init <trust-domain>', 'found a trust domain, as in example.org').conflicts('join'))
    .option('--join <token>', 'join a trust domain: the token, @FILE that contains it, or - for standard input')
  for (const name of Object.keys(UP_OPTIONS) as UpOptionName[]) command.addOption(optionOf(name))
  return command
    .option('--no-mdns', 'do not look for members on the LAN')
    .addOption(
      new Option('--log-level <level>', 'lowest level that is logged (default: info; on a terminal: warn)').choices(
        LOG_LEVELS
      )
    )
    .option(
      '--drain-timeout <time>',
      'time for connections to finish when the agent stops; the rest are reset (default: 10s)'
    )
    .option('--limit <name=number>', 'a limit of docs/limits.md; may be repeated (in the file: limits)', collect)
    .option('--accept-lost-state', 'once: start without files of the state directory, or its database, that are lost')
    .option('--check', 'check what a start needs, print the version, and start nothing')
    .option('--config <file>', 'YAML file whose keys are these options without the dashes; options override it')
}
