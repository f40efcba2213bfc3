import type { Command } from 'commander'
import { concernedEnds, ErrorCode, jointVerdict, type Verdict, verdictOf, WarrenError } from '../../core/index.ts'
import { apiPb } from '../../wire/index.ts'
import { type Context, contextOf } from '../context.ts'
import { Exit } from '../exit.ts'
import { parseTimeout } from '../options/receipts.ts'
import { type EndView, explanation, fields, jointExplanation, observationLines } from '../output/index.ts'
import { tryConnection } from './explain-connect.ts'
import { observe } from './observe.ts'

interface ExplainOptions {
  readonly udp?: true
  readonly mesh?: true
  readonly local?: true
  readonly connect?: true
  readonly uid?: number
  readonly timeout?: string
}

interface Connection {
  readonly source: string
  readonly destination: string
  readonly protocol: apiPb.Protocol
}

const AFTER = `
The hosts of both ends are asked: the host of the source tries the path, and the host of the destination looks at the server. Each of them
notes who has asked. A host asks about its own workloads; a host of an owner or an observer asks about all. Other hosts show what they see
themselves.

Exit codes: 0 it works, 1 it does not, 3 it cannot be said.`

export function addExplain(program: Command): void {
  program
    .command('explain')
    .description('show why a connection works or does not, and what to do')
    .argument('<source>', 'address or pattern')
    .argument('<destination>', 'address or pattern')
    .option('--udp', 'ask about UDP, not TCP')
    .option('--local', 'ask no other host')
    .option('--mesh', 'fail if this host may not ask the others')
    .option('--connect', 'also make a connection as the source, and show how long each step takes')
    .option('--uid <uid>', 'also say whether a process of this user may be the source', parseUid)
    .option('--timeout <time>', 'how long to wait for hosts that do not answer (default: 10s)')
    .addHelpText('after', AFTER)
    .action(async (source: string, destination: string, options: ExplainOptions, command: Command) => {
      const context = contextOf(command)
      checkOptions(options)
      if (options.connect === true) await requireSourceHere(context, source)
      const protocol = options.udp === true ? apiPb.Protocol.UDP : apiPb.Protocol.TCP
      const connection = { source, destination, protocol }
      const { verdict, data, text } = await answerOf(context, connection, options)
      const tried = options.connect === true ? await tryConnection(context, connection) : undefined
      context.show({ ...data, ...(tried !== undefined && { connection: tried.view }) }, () =>
        tried === undefined ? text : `${text}\n\n${tried.text}`
      )
      const works = tried === undefined ? verdict : tried.view.works ? 'works' : 'fails'
      process.exitCode = EXIT[works]
    })
}

const EXIT: Readonly<Record<Verdict, number>> = { works: Exit.Ok, fails: Exit.Failed, undecided: Exit.Incomplete }
const MAX_UID = 0xffff_fffe

function parseUid(text: string): number {
  const uid = Number(text)
  if (/^\d+$/.test(text) && uid <= MAX_UID) return uid
  throw new WarrenError(ErrorCode.InvalidOption, `--uid ${text.slice(0, 80)} is no number of a user`, {
    hint: 'Give the number: id -u NAME'
  })
}

function checkOptions({ mesh, local, uid, connect, udp }: ExplainOptions): void {
  const [first, second] = [mesh === true && '--mesh', local === true && '--local', uid !== undefined && '--uid'].filter(
    one => one !== false
  )
  // The user of another host is known there.
  if (first === '--mesh' && second !== undefined) {
    throw new WarrenError(ErrorCode.InvalidOption, `${first} does not go with ${second}`, {
      hint: `Leave out ${first}.`
    })
  }
  if (connect === true && udp === true) {
    throw new WarrenError(ErrorCode.InvalidOption, '--connect does not go with --udp', {
      hint: 'A server of UDP answers only what it understands: send it something with warren connect --udp.'
    })
  }
}

async function requireSourceHere({ agent }: Context, source: string): Promise<void> {
  const named = source.split('.')[NAME_PARTS]
  const { machine } = await agent.workload.getStatus({})
  if (named === undefined || named === machine) return
  throw new WarrenError(ErrorCode.InvalidArgument, `--connect is for sources of this host, ${machine}`, {
    hint: `Run the command on ${named.slice(0, 80)}.`
  })
}

/** Components of an address before the machine. */
const NAME_PARTS = 4

interface Answer {
  readonly verdict: Verdict
  readonly data: Readonly<Record<string, unknown>>
  readonly text: string
}

async function answerOf(context: Context, connection: Connection, options: ExplainOptions): Promise<Answer> {
  const { local, mesh, uid, timeout } = options
  if (local === true || uid !== undefined) return await seenHere(context, connection, uid)
  try {
    return await seenByBoth(context, connection, timeout)
  } catch (err) {
    if (mesh === true || !MAY_NOT_ASK.has(WarrenError.from(err).code)) throw err
    const answer = await seenHere(context, connection, undefined)
    context.say(`only this host was asked: ${WarrenError.from(err).reason}`)
    return answer
  }
}

/** Nobody else would answer, or the agent of this host does not know how to ask. */
const MAY_NOT_ASK: ReadonlySet<string> = new Set([ErrorCode.NotAdmin, ErrorCode.Unsupported])

async function seenHere({ agent }: Context, connection: Connection, uid: number | undefined): Promise<Answer> {
  const answer = await agent.admin.explain({ ...connection, ...(uid !== undefined && { uid }) })
  const { works, undecided } = answer
  const steps = answer.steps.map(fields)
  const verdict = verdictOf(answer)
  return { verdict, data: { works, undecided, steps }, text: explanation(verdict, steps) }
}

async function seenByBoth(context: Context, connection: Connection, timeout: string | undefined): Promise<Answer> {
  const timeoutMs = parseTimeout(timeout)
  const { complete, hosts } = await observe(context, { case: 'explain', value: connection }, timeoutMs)
  const views: EndView[] = hosts.flatMap(({ machine, connections }) =>
    connections.map(({ role, works, undecided, steps }) => ({
      machine,
      role,
      works,
      undecided,
      steps: steps.map(fields)
    }))
  )
  const shown = concernedEnds(views)
  const joint = jointVerdict(shown)
  // The host that has not answered may know better.
  const verdict = joint === 'works' && !complete ? 'undecided' : joint
  for (const line of observationLines(hosts)) context.say(line)
  const data = { works: verdict === 'works', undecided: verdict === 'undecided', complete, hosts: shown }
  return { verdict, data, text: jointExplanation(shown, verdict) }
}
