import type { Argument, Command, Option } from 'commander'
import { buildProgram } from '../../src/cli/program.ts'
import { argument, prose, text, usage } from '../man/roff.ts'
import type { InstalledFile } from './installed-file.ts'

const DIRECTORY = 'usr/share/man/man1'

export interface ManOptions {
  readonly version: string
  /** The time that the pages show. */
  readonly epochSeconds: number
}

/** The manual: a page of `warren` and one of each command, from what `--help` prints. The same for the same options. */
export function manPages(options: ManOptions): InstalledFile[] {
  const program = buildProgram()
  const commands = visible(program)
  const pages = [overview(program, commands, options), ...commands.map(command => page(command, options))]
  const names = ['warren', ...commands.map(command => `warren-${command.name()}`)]
  return pages.map((lines, at) => ({
    path: `${DIRECTORY}/${names[at]}.1`,
    mode: 0o644,
    bytes: Buffer.from(`${lines.filter((line, i) => line !== '.PP' || lines[i + 1] !== '.PP').join('\n')}\n`)
  }))
}

function overview(program: Command, commands: readonly Command[], options: ManOptions): string[] {
  const groups = new Map<string, Command[]>()
  for (const command of commands) {
    const heading = command.helpGroup()
    groups.set(heading, [...(groups.get(heading) ?? []), command])
  }
  const lists = [...groups].flatMap(([heading, members]) => [
    `.SS ${argument(heading.replace(/:$/, ''))}`,
    ...members.flatMap(command => ['.TP', `.BR warren\\-${command.name()} (1)`, ...prose(command.description())])
  ])
  return [
    ...title('warren', options),
    ...named('warren', firstClause(program.description())),
    '.SH SYNOPSIS',
    '.B warren',
    '[\\fIoptions\\fR] \\fIcommand\\fR',
    '.SH DESCRIPTION',
    ...prose(program.description()),
    '.PP',
    ...prose(afterHelp(program)),
    '.SH COMMANDS',
    ...lists,
    '.SH OPTIONS',
    ...optionList(program),
    ...seeAlso(commands.map(command => `warren-${command.name()}`))
  ]
}

function page(command: Command, options: ManOptions): string[] {
  const name = `warren-${command.name()}`
  const below = visible(command)
  return [
    ...title(name, options),
    ...named(name, firstClause(command.description())),
    '.SH SYNOPSIS',
    ...[command, ...below]
      .filter(one => one !== command || below.length === 0)
      .flatMap(synopsis)
      .slice(0, -1),
    '.SH DESCRIPTION',
    ...prose(sentence(command.description())),
    ...after(command),
    ...(command.registeredArguments.length > 0 ? ['.SH ARGUMENTS', ...argumentList(command)] : []),
    ...(below.length > 0 ? ['.SH COMMANDS', ...below.flatMap(section)] : []),
    '.SH OPTIONS',
    ...optionList(command),
    '.SH GLOBAL OPTIONS',
    ...globalOptions(command).flatMap(item),
    ...seeAlso(['warren'])
  ]
}

/** A command below another one, such as `token create`. */
function section(command: Command): string[] {
  return [
    `.SS ${usage(usageOf(command).replace(/^warren /, ''))}`,
    ...prose(sentence(command.description())),
    ...after(command),
    ...argumentList(command),
    ...ownOptions(command).flatMap(item)
  ]
}

function title(name: string, { version, epochSeconds }: ManOptions): string[] {
  const date = new Date(epochSeconds * 1000).toISOString().slice(0, 10)
  return [
    '.\\" Made from the source of --help: change that.',
    `.TH ${name.toUpperCase().replaceAll('-', '\\-')} 1 ${date} "warren ${version}" "User Commands"`,
    // Words of the command line are not hyphenated, and lines not stretched.
    '.nh',
    '.ad l'
  ]
}

function named(name: string, what: string): string[] {
  return ['.SH NAME', `${name.replaceAll('-', '\\-')} \\- ${text(what)}`]
}

function synopsis(command: Command): string[] {
  const [, name = '', rest = ''] = /^((?:[a-z-]+ ?)+)(.*)$/.exec(usageOf(command)) ?? []
  return [`.B ${text(name.trim())}`, ...(rest === '' ? [] : [usage(rest).slice(1, -1)]), '.br']
}

function argumentList(command: Command): string[] {
  return command.registeredArguments.flatMap((one: Argument) => {
    const { description, argChoices } = one
    const choices = argChoices === undefined ? '' : ` (${argChoices.join(', ')})`
    return ['.TP', `.I ${text(one.name())}`, ...prose(sentence(description + choices))]
  })
}

function optionList(command: Command): string[] {
  return command
    .createHelp()
    .visibleOptions(command)
    .flatMap(option => item(option))
}

/** Without `--help`, which each has. */
function ownOptions(command: Command): Option[] {
  const help = command.createHelp()
  return help.visibleOptions(command).filter(({ long }) => long !== '--help')
}

function globalOptions(command: Command): Option[] {
  return command.createHelp().visibleGlobalOptions(command)
}

function item(option: Option): string[] {
  const [names = '', value] = text(option.flags).split(/(?=[<[])/)
  const takes = value === undefined ? '' : `\\fI${value.slice(1, -1)}`
  return ['.TP', `\\fB${names}\\fR${takes}${takes === '' ? '' : '\\fR'}`, ...prose(helpOf(option))]
}

/** The description of an option with its choices and default, as `--help` has them. */
function helpOf({ description, argChoices, defaultValue, required, optional }: Option): string {
  const more = [
    ...(argChoices === undefined ? [] : [`one of ${argChoices.join(', ')}`]),
    ...(defaultValue === undefined || !(required || optional) ? [] : [`default: ${String(defaultValue)}`])
  ]
  return sentence(more.length === 0 ? description : `${description} (${more.join('; ')})`)
}

function after(command: Command): string[] {
  const found = prose(afterHelp(command))
  return found.join('') === '' ? [] : ['.PP', ...found]
}

/** What `--help` prints below its lists. */
function afterHelp(command: Command): string {
  let printed = ''
  command.configureOutput({
    writeOut: part => {
      printed += part
    }
  })
  command.outputHelp()
  return printed.slice(command.helpInformation().length)
}

function seeAlso(names: readonly string[]): string[] {
  const references = names.map(
    (name, at) => `.BR ${name.replaceAll('-', '\\-')} (1)${at < names.length - 1 ? ',' : ''}`
  )
  return ['.SH SEE ALSO', ...references]
}

function visible(command: Command): Command[] {
  return command
    .createHelp()
    .visibleCommands(command)
    .filter(one => one.name() !== 'help')
}

function usageOf(command: Command): string {
  return command.createHelp().commandUsage(command).replace(' [options]', ' [<options>]')
}

function firstClause(description: string): string {
  return (description.split(/[:;]/, 1)[0] ?? '').replace(/\.$/, '')
}

function sentence(words: string): string {
  const upper = words.charAt(0).toUpperCase() + words.slice(1)
  return /[.)]$/.test(upper) ? upper : `${upper}.`
}
