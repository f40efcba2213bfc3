import type { Command } from 'commander'
import { type AgentConfig, configFiles, type Fault, type Loaded, readEnvironment } from '../../config/index.ts'
import { ErrorCode, nearest, WarrenError } from '../../core/index.ts'
import { effectiveValues } from '../config-values.ts'
import { contextOf } from '../context.ts'
import { Exit } from '../exit.ts'
import { addUpOptions } from '../options/up.ts'
import { print, printable, printJson, table } from '../output/index.ts'
import { filesNow, SYSTEM_CONFIG } from '../up-files.ts'
import { configOf, type UpOptions } from '../up-options.ts'

const AFTER_CHECK = `
Without a path: the file of WARREN_CONFIG, else ${SYSTEM_CONFIG}, and conf.d beside it. No agent is needed. Run it as the user of the
agent, or as root: the owners of files are checked, too. Exit code 0 if nothing is wrong, 1 if something is.`

const AFTER_SHOW = `
Takes the options of \`warren up\`, so that they can be put before "up" and "config show" alike. Secrets are not shown.`

export function addConfig(program: Command): void {
  const config = program.command('config').description('check and show the configuration files')
  config
    .command('check')
    .description('print a line for each fault: where it is, what is wrong and what to do')
    .argument('[path...]', 'files, or directories with warren.yaml or conf.d')
    .addHelpText('after', AFTER_CHECK)
    .action(async (paths: string[], _options: unknown, command: Command) => await check(paths, command))
  config
    .command('schema')
    .description('print the JSON Schema of warren.yaml, for editors')
    .action(async () => printJson((await configFiles()).jsonSchema()))
  addUpOptions(
    config.command('show').description('print the values that an agent would start with, and where each comes from')
  )
    .addHelpText('after', AFTER_SHOW)
    .action(async (_options: unknown, command: Command) => await showValues(command))
}

async function check(paths: readonly string[], command: Command): Promise<void> {
  const { json, say } = contextOf(command)
  const { filesNamed, loadFiles, optionFaults, formatFault } = await configFiles()
  const named = paths.length > 0 ? paths.map(filesNamed) : [await defaultFiles()]
  const faults: Fault[] = []
  let count = 0
  for (const files of named) {
    const loaded = loadFiles(files)
    count += loaded.files.length
    faults.push(...loaded.faults)
    if (files.main === undefined || loaded.faults.some(({ file }) => file === files.main)) continue
    const unreadable = optionFaults(files.main)
    faults.push(...unreadable, ...(unreadable.length > 0 ? [] : await agentFaults(loaded)))
  }
  if (json) printJson({ files: count, faults })
  else for (const fault of faults) print(printable(formatFault(fault)))
  const what = `${count} ${count === 1 ? 'file' : 'files'}`
  if (faults.length > 0) process.exitCode = Exit.Failed
  say(`${what}: ${inWords(faults.length)}`)
}

function inWords(faults: number): string {
  return faults === 0 ? 'nothing is wrong' : faults === 1 ? '1 fault' : `${faults} faults`
}

async function defaultFiles() {
  const config = readEnvironment(process.env).text('config')
  const files = await filesNow({ config, runtimeDir: undefined, uid: 0 })
  if (files !== undefined) return files
  throw new WarrenError(ErrorCode.InvalidConfig, `there is no ${SYSTEM_CONFIG}`, {
    hint: 'Name a file: warren config check warren.yaml'
  })
}

/** What only the agent checks: names, ranges, and options that do not go together. */
async function agentFaults({ options, placeOf }: Loaded): Promise<Fault[]> {
  const { resolveConfig, LIMIT_OPTIONS } = await import('../../agent/index.ts')
  const limits = Object.keys(options.limits ?? {}).filter(name => !LIMIT_OPTIONS.includes(name))
  if (limits.length > 0) {
    return limits.map(name => {
      const near = nearest(name, LIMIT_OPTIONS)
      const hint = near === undefined ? `They are: ${LIMIT_OPTIONS.join(', ')}.` : `Did you mean "${near}"?`
      return { ...placeOf(['limits', name]), text: `"${name.slice(0, 80)}" is not a limit that can be set`, hint }
    })
  }
  const refusal = await errorOf(options, resolveConfig)
  if (refusal === undefined) return []
  const fault = { text: refusal.reason, hint: refusal.hint ?? 'Correct the value.' }
  for (const [name, value] of Object.entries(options)) {
    if ((await errorOf({ [name]: value }, resolveConfig)) !== undefined) return [{ ...placeOf([name]), ...fault }]
  }
  return [{ ...placeOf([]), ...fault }]
}

async function errorOf(
  options: Loaded['options'],
  resolve: (config: AgentConfig) => unknown
): Promise<WarrenError | undefined> {
  try {
    // A token is not read: it may be for later.
    const { config } = await configOf(
      { mdns: true },
      false,
      {},
      { ...options, ...(options.join !== undefined && { join: 'x' }) }
    )
    resolve(config)
    return undefined
  } catch (err) {
    return WarrenError.from(err)
  }
}

async function showValues(command: Command): Promise<void> {
  const options = command.optsWithGlobals<UpOptions>()
  const mdnsGiven = command.getOptionValueSource('mdns') === 'cli'
  const { json, show } = contextOf(command)
  const { resolveConfig } = await import('../../agent/index.ts')
  const variables = readEnvironment(process.env)
  const files = await filesNow({
    config: options.config ?? variables.text('config'),
    runtimeDir: options.runtimeDir ?? variables.text('runtime-dir'),
    uid: process.getuid?.()
  })
  const loaded = files === undefined ? undefined : (await configFiles()).requireFiles(files)
  // Without the secret, which might have to be read from standard input.
  const { join: _, ...rest } = options
  const { config } = await configOf(rest, mdnsGiven, withoutJoin(process.env), withoutToken(loaded?.options ?? {}))
  const resolved = resolveConfig(config)
  const values = effectiveValues({ options, mdnsGiven, variables, loaded, resolved })
  const { services, forwards } = loaded?.declared ?? { services: [], forwards: [] }
  if (json) {
    printJson({ options: values, services, forwards })
    return
  }
  show(values, () => valueTable(values))
  const items = [
    ...services.map(item => ({ kind: 'service', ...item })),
    ...forwards.map(item => ({ kind: 'forward', ...item }))
  ]
  if (items.length === 0) return
  print('')
  print(
    table(
      [
        { title: 'KIND', value: ({ kind }) => kind },
        { title: 'NAME', value: ({ name }) => name },
        { title: 'USER', value: ({ user }) => user },
        { title: 'ORIGIN', value: ({ place }) => place }
      ],
      items
    )
  )
}

function valueTable(values: ReturnType<typeof effectiveValues>): string {
  return table(
    [
      { title: 'OPTION', value: ({ name }) => name },
      { title: 'VALUE', value: ({ value }) => value },
      { title: 'ORIGIN', value: ({ origin }) => origin }
    ],
    values
  )
}

function withoutJoin(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const { WARREN_JOIN: _, WARREN_JOIN_TOKEN: __, ...rest } = env
  return rest
}

function withoutToken({ join: _, ...rest }: Loaded['options']): Loaded['options'] {
  return rest
}
