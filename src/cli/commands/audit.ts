import { join } from 'node:path'
import { type Command, Option } from 'commander'
import type { AuditLine, Damage, Selection, Verified } from '../../audit/index.ts'
import { ErrorCode, parseDuration, WarrenError } from '../../core/index.ts'
import { type Context, contextOf } from '../context.ts'
import { Exit } from '../exit.ts'
import { collect } from '../options/collect.ts'
import { requireMesh } from '../options/receipts.ts'
import { print, printJsonLine } from '../output/index.ts'
import { recordLine } from '../output/record-line.ts'
import { showMeshAudit } from './audit-mesh.ts'

interface VerifyOptions {
  readonly checkpoint?: string[]
  readonly peer?: string[]
}

interface ShowOptions {
  readonly source?: string
  readonly dest?: string
  readonly since?: string
  readonly type?: string[]
  readonly last: string
  readonly follow?: true
  readonly mesh?: true
  readonly timeout?: string
}

const FILE_HELP = 'the file that --audit names (default: WARREN_AUDIT, else audit.log of the state directory)'
const MAX_SINCE_MS = 100 * 365 * 86_400_000
const MAX_LAST = 100_000
const DEFAULT_LAST = '1000'

const AFTER_SHOW = `
The records and their fields: docs/audit.md. With --follow, --json prints a line for each record.
With --mesh every host is asked for the newest records of its log, as many as fit. This works on the hosts of owners and observers, who
get the fields that docs/events.md has for them: no process and no user. Each host notes who has asked. Exit code 3 if a host has not
answered, or has no audit log.`

export function addAudit(program: Command): void {
  const audit = program.command('audit').description('read and verify the audit log of this host')
  audit
    .command('verify')
    .description('verify that no line of the audit log was changed, removed or moved; works without an agent')
    .argument('[file]', FILE_HELP)
    .addOption(
      new Option(
        '--checkpoint <seq:hash>',
        'a line that must be there, as `warren members --json` on another host shows it; may be repeated'
      ).argParser(collect)
    )
    .addOption(
      new Option(
        '--peer <id>',
        'PeerId whose signatures count; may be repeated (default: any, and it is shown)'
      ).argParser(collect)
    )
    .addHelpText('after', '\nExit codes: 0 intact, 1 a line is not as it was written, 2 the log cannot be read.')
    .action(async (file: string | undefined, options: VerifyOptions, command: Command) => {
      await verify(contextOf(command), await auditLogPath(file), options)
    })
  audit
    .command('show')
    .description('show records of the audit log, oldest first; works without an agent')
    .argument('[file]', FILE_HELP)
    .option('--source <pattern>', 'only flows of these workloads, as in dev.web.*.*')
    .option('--dest <pattern>', 'only flows to these workloads')
    .option('--since <time>', 'only what happened in this time, as in 90s, 15m or 2d')
    .addOption(new Option('--type <name>', 'only records of this name; may be repeated').argParser(collect))
    .option('--last <number>', `only the newest ones, at most ${MAX_LAST}`, DEFAULT_LAST)
    .option('-f, --follow', 'continue with what happens from now on')
    .addOption(new Option('--mesh', 'ask the agent for those of all hosts').conflicts('follow'))
    .option('--timeout <time>', 'with --mesh: how long to wait for hosts that do not answer (default: 10s)')
    .addHelpText('after', AFTER_SHOW)
    .action(async (file: string | undefined, options: ShowOptions, command: Command) => {
      requireMesh(options)
      if (options.mesh === true) await showAll(contextOf(command), file, options)
      else await show(contextOf(command), await auditLogPath(file), options)
    })
}

/** The audit log that is meant: the named one, else that of WARREN_AUDIT, else that of the state directory. */
export async function auditLogPath(file: string | undefined): Promise<string> {
  if (file !== undefined) return file
  const named = process.env['WARREN_AUDIT']
  if (named?.startsWith('/') === true) return named
  const [{ resolveConfig }, { AUDIT_LOG }] = await Promise.all([
    import('../../agent/index.ts'),
    import('../../audit/index.ts')
  ])
  return join(resolveConfig({}).stateDir, AUDIT_LOG)
}

async function verify({ show, say }: Context, path: string, options: VerifyOptions): Promise<void> {
  const { parseCheckpoint, parseSigner, verifyLog } = await import('../../audit/index.ts')
  const verified = await verifyLog(path, {
    checkpoints: (options.checkpoint ?? []).map(parseCheckpoint),
    ...(options.peer === undefined ? {} : { peers: options.peer.map(parseSigner) })
  })
  show({ intact: verified.damage === undefined, ...verified }, () => report(path, verified))
  if (verified.damage !== undefined) process.exitCode = Exit.Failed
  else if (verified.last !== undefined && (options.checkpoint ?? []).length === 0) {
    say('whether its end was cut off, another host knows: docs/audit.md, "A cut-off end"')
  }
}

function report(path: string, verified: Verified): string {
  const { damage, lines, files, last, lastAt, signedThrough, removedThrough, lost, peers } = verified
  if (damage !== undefined) return damageText(damage)
  const rows = [`${path}: ${lines} lines in ${files} file${files === 1 ? '' : 's'} are intact`]
  if (last !== undefined) rows.push(`last line: ${last.seq}, of ${lastAt}; signed through ${signedThrough}`)
  if (removedThrough > 0) rows.push(`lines 1 to ${removedThrough} were removed because of the size of the log`)
  if (lost > 0) rows.push(`the log says that ${lost} records are missing: warren audit show --type audit-gap`)
  for (const peer of peers) rows.push(`signed by ${peer}`)
  return rows.join('\n')
}

function damageText({ file, line, seq, problem }: Damage): string {
  return `${file}:${line}: line ${seq}: ${problem}`
}

async function showAll(context: Context, file: string | undefined, options: ShowOptions): Promise<void> {
  if (file !== undefined)
    throw new WarrenError(ErrorCode.InvalidOption, '--mesh reads no file of this host', {
      hint: 'Leave the path out: each agent reads its own log.'
    })
  // Before any host is asked.
  const { sinceMs } = await selectionOf(options)
  await showMeshAudit(context, { ...options, sinceMs, last: lastOf(options.last) }, options.timeout)
}

async function selectionOf(options: ShowOptions): Promise<Selection> {
  const { parseSelection } = await import('../../audit/index.ts')
  const since = options.since === undefined ? undefined : parseDuration('--since', options.since, 1, MAX_SINCE_MS)
  return parseSelection({
    source: options.source,
    destination: options.dest,
    sinceMs: since === undefined ? undefined : Date.now() - since,
    events: options.type
  })
}

async function show({ json, show: output, say }: Context, path: string, options: ShowOptions): Promise<void> {
  const { LogReader } = await import('../../audit/index.ts')
  const selection = await selectionOf(options)
  const max = lastOf(options.last)
  const newest: AuditLine[] = []
  let found = 0
  const reader = new LogReader(path, selection)
  for await (const line of reader.records()) {
    found += 1
    newest.push(line)
    // Not for each: moving all of them takes time.
    if (newest.length >= 2 * max) newest.splice(0, newest.length - max)
  }
  newest.splice(0, Math.max(0, newest.length - max))
  const views = newest.map(viewOf)
  if (found > max) say(`only the newest ${max} of ${found}; --last and --since show others`)
  if (options.follow !== true) {
    output({ records: views }, () => views.map(view => recordLine({ ...view, name: view.event })).join('\n'))
    if (found === 0) say('no record is of that kind')
    return
  }
  const write = (view: RecordJson): void =>
    json ? printJsonLine(view) : print(recordLine({ ...view, name: view.event }))
  for (const view of views) write(view)
  // It ends with the process.
  const { signal } = new AbortController()
  for await (const line of reader.follow(signal)) write(viewOf(line))
}

type RecordJson = Pick<AuditLine, 'seq' | 'at' | 'event' | 'fields'>

function viewOf({ seq, at, event, fields }: AuditLine): RecordJson {
  return { seq, at, event, fields }
}

function lastOf(text: string): number {
  const number = /^[1-9]\d{0,5}$/.test(text) ? Number(text) : Number.NaN
  if (number <= MAX_LAST) return number
  throw new WarrenError(ErrorCode.InvalidArgument, `--last must be a whole number from 1 to ${MAX_LAST}`)
}
