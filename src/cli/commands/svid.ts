import type { Command } from 'commander'
import { type Registration, register } from '../../client/index.ts'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import { AwaitedAgent, noWaitOption } from '../await-agent.ts'
import { type Context, contextOf } from '../context.ts'
import { collect } from '../options/index.ts'
import { cliLogger, formatWhen, print, printJsonLine } from '../output/index.ts'
import { requireStdout, STDOUT, writeStdout } from '../output/stdout.ts'
import { endingSignals, inWords } from '../signals.ts'
import { chosen, fetchOnce, follow, groupId, keyMode, type PemSvid, runHook, SvidDirectory } from '../svid/index.ts'

interface FetchOptions {
  readonly out: string
  readonly id?: string
  readonly dns?: string[]
  readonly group?: number
  readonly mode?: number
  readonly asOne?: true
  readonly watch?: true
  readonly exec?: string
  readonly wait: boolean
}

export function addSvid(program: Command): void {
  const svid = program.command('svid').description('write certificates for programs that read files')
  svid
    .command('fetch')
    .description('write svid.pem, svid_key.pem and bundle.pem')
    .argument('[address]', 'register it for as long as this command runs (default: what is registered for your user)')
    .requiredOption(
      '--out <dir>',
      'directory to write to; made with mode 0700 if it does not exist; - for standard output, key first'
    )
    .option('--id <spiffe-id>', 'identity to write, if your user has registered several')
    .option(
      '--dns <name>',
      'with an address: DNS name for the certificate; an entry must name it; may be repeated',
      collect
    )
    .option('--as-one', 'make the files links into a directory that is replaced at once, as Kubernetes mounts them')
    .option('--group <group>', 'name or number of the group that may read the files, and so the key', groupId)
    .option('--mode <mode>', 'of the key: 0400, 0440, 0600 or 0640 (default: 0600; 0640 with --group)', keyMode)
    .option('--watch', 'continue: write the files again after each change of the certificate or the roots')
    .addOption(noWaitOption('with --watch: '))
    .option('--exec <command>', 'run this in a shell after each write, so that a program reads the files again')
    .action(async (address: string | undefined, options: FetchOptions, command: Command) => {
      const context = contextOf(command)
      const isOutput = options.out === STDOUT
      if (isOutput) requireOneOutput(context, options)
      requireAddress(address, options)
      const directory = isOutput ? undefined : new SvidDirectory(options.out, options)
      const ending = endingSignals(inWords(context.say))
      const wait = options.watch === true && options.wait
      const agent = new AwaitedAgent(context, { wait, signal: ending.signal })
      const registration =
        address === undefined
          ? undefined
          : await agent.call(client => registered({ ...context, agent: client }, address, options.dns, ending.signal))
      const id = registration?.spiffeId ?? options.id
      // The agent that has the registration, if it is another one than at the beginning.
      const its = { ...context, agent: agent.client }
      try {
        if (directory === undefined) await printOnce(its, id, ending.signal)
        else if (options.watch === true) await watch(its, directory, options, id, registration, ending.signal)
        else await once(its, directory, options, id, ending.signal)
      } finally {
        await registration?.close()
      }
    })
}

async function registered(
  { agent: client, say }: Context,
  address: string,
  dnsNames: readonly string[] | undefined,
  signal: AbortSignal
) {
  const log = cliLogger(say)
  return await register(address, { client, application: 'warren svid fetch', dnsNames, signal, log })
}

/** Throws INVALID_OPTION for names of a registration that this command does not make. */
function requireAddress(address: string | undefined, { dns }: FetchOptions): void {
  if (address !== undefined || dns === undefined) return
  throw new WarrenError(ErrorCode.InvalidOption, '--dns goes with an address', {
    hint: 'Name the address to register, or give the names to `warren register --dns-name`.'
  })
}

/** Throws INVALID_OPTION where standard output is not the place for it. */
function requireOneOutput({ json }: Context, { watch, exec, mode, group, asOne }: FetchOptions): void {
  requireStdout({ json, isBinary: false })
  if ([watch, exec, mode, group, asOne].every(option => option === undefined)) return
  throw new WarrenError(
    ErrorCode.InvalidOption,
    '--watch, --exec, --as-one, --mode and --group need a directory, not standard output',
    {
      hint: 'Give one with --out DIR.'
    }
  )
}

async function printOnce(context: Context, id: string | undefined, signal: AbortSignal): Promise<void> {
  const { key, certificates, bundle, spiffeId, notAfterMs } = chosen(await fetchOnce(context.agent, signal), id)
  await writeStdout(key + certificates + bundle)
  context.say(`${spiffeId}, good until ${formatWhen(notAfterMs, Date.now())}`)
}

async function once(
  context: Context,
  directory: SvidDirectory,
  { exec }: FetchOptions,
  id: string | undefined,
  signal: AbortSignal
): Promise<void> {
  const svid = chosen(await fetchOnce(context.agent, signal), id)
  directory.write(svid)
  report(context, directory, svid)
  if (exec !== undefined) await runHook(exec, environmentOf(directory, svid))
}

async function watch(
  context: Context,
  directory: SvidDirectory,
  { exec, wait }: FetchOptions,
  id: string | undefined,
  registration: Registration | undefined,
  signal: AbortSignal
): Promise<void> {
  const over = new AbortController()
  const onAbort = (): void => over.abort()
  signal.addEventListener('abort', onAbort, { once: true })
  const end = registration?.closed.finally(onAbort)
  for await (const svid of follow(context.agent, id, { wait, say: context.say, signal: over.signal })) {
    directory.write(svid)
    report(context, directory, svid)
    // The program can read them after the next renewal: no reason to let the certificate end.
    if (exec !== undefined) await runHook(exec, environmentOf(directory, svid)).catch(err => context.say(err.message))
  }
  const error = signal.aborted ? undefined : (await end)?.error
  if (error !== undefined) throw error
}

function environmentOf({ path }: SvidDirectory, { spiffeId }: PemSvid): Record<string, string> {
  return { WARREN_SVID_DIR: path, WARREN_SPIFFE_ID: spiffeId }
}

function report({ json, say }: Context, { path }: SvidDirectory, { spiffeId, notAfterMs }: PemSvid): void {
  if (json) printJsonLine({ spiffeId, notAfterMs, directory: path })
  else print(spiffeId)
  say(`written to ${path}, good until ${formatWhen(notAfterMs, Date.now())}`)
}
