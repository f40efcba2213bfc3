import type { Command } from 'commander'
import { type Registration, register } from '../../client/index.ts'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import { AwaitedAgent, noWaitOption } from '../await-agent.ts'
import { type Context, contextOf } from '../context.ts'
import { cliLogger, formatWhen, print, printJsonLine } from '../output/index.ts'
import { requireStdout, STDOUT, writeStdout } from '../output/stdout.ts'
import { endingSignals, inWords } from '../signals.ts'
import { SvidDirectory } from '../svid/directory.ts'
import { runHook } from '../svid/hook.ts'
import type { PemSvid } from '../svid/pem.ts'
import { chosen, fetchOnce, follow } from '../svid/source.ts'

interface FetchOptions {
  readonly out: string
  readonly id?: string
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
    .option('--watch', 'continue: write the files again after each change of the certificate or the roots')
    .addOption(noWaitOption('with --watch: '))
    .option('--exec <command>', 'run this in a shell after each write, so that a program reads the files again')
    .action(async (address: string | undefined, options: FetchOptions, command: Command) => {
      const context = contextOf(command)
      const isOutput = options.out === STDOUT
      if (isOutput) requireOneOutput(context, options)
      const directory = isOutput ? undefined : new SvidDirectory(options.out)
      const ending = endingSignals(inWords(context.say))
      const wait = options.watch === true && options.wait
      const agent = new AwaitedAgent(context, { wait, signal: ending.signal })
      const registration =
        address === undefined
          ? undefined
          : await agent.call(client => registered({ ...context, agent: client }, address, ending.signal))
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

async function registered({ agent: client, say }: Context, address: string, signal: AbortSignal) {
  const log = cliLogger(say)
  return await register(address, { client, application: 'warren svid fetch', signal, log })
}

/** Throws INVALID_OPTION where standard output is not the place for it. */
function requireOneOutput({ json }: Context, { watch, exec }: FetchOptions): void {
  requireStdout({ json, isBinary: false })
  if (watch === undefined && exec === undefined) return
  throw new WarrenError(ErrorCode.InvalidOption, '--watch and --exec need a directory, not standard output', {
    hint: 'Give one with --out DIR.'
  })
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
