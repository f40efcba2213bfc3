import type { MessageInitShape } from '@bufbuild/protobuf'
import type { Explanation } from '../../cluster/index.ts'
import { type Address, matches, namesOf, parsePattern } from '../../identity/index.ts'
import { apiPb, type questionPb } from '../../wire/index.ts'
import type { Explainer } from './here.ts'

export interface ExplainedEndsDeps {
  readonly machine: string
  /** Every registration of all hosts that is known here. */
  readonly registered: () => readonly { readonly address: Address; readonly machine: string }[]
  readonly explainer: Explainer
}

/** Components of an address before the machine. */
const NAME_PARTS = 4

/** What the host of a destination leaves to that of the source. */
const ELSEWHERE: ReadonlySet<string> = new Set(['source', 'identity', 'path'])

type Question = Pick<questionPb.ExplainQuestion, 'source' | 'destination'>

/** The hosts that have something to say about a connection: those of its ends. */
export function concernedBy(
  { registered, explainer }: ExplainedEndsDeps,
  { source, destination }: Question
): (machine: string) => boolean {
  const machines = new Set(explainer.endedOn(destination))
  for (const text of [source, destination]) {
    const pattern = parsePattern(text)
    const named = namesOf(pattern)[NAME_PARTS]
    if (named !== undefined) machines.add(named)
    for (const one of registered()) if (matches(pattern, one.address)) machines.add(one.machine)
  }
  return machine => machines.has(machine)
}

/** The source with the name of this host, unless it is registered somewhere or names a machine. Throws INVALID_ARGUMENT. */
export function qualified({ machine, registered }: ExplainedEndsDeps, source: string): string {
  const pattern = parsePattern(source)
  const names = namesOf(pattern)
  const isOne = names.slice(0, NAME_PARTS).every(name => name !== undefined) && source.split('.').length === NAME_PARTS
  if (!isOne || registered().some(({ address }) => matches(pattern, address))) return source
  return `${source}.${machine}`
}

/** What this host sees of a connection whose source, or destination, it has. `isForOthers`: another host reads it. */
export async function explainedEnds(
  deps: ExplainedEndsDeps,
  { source, destination, protocol: wanted }: questionPb.ExplainQuestion,
  isForOthers: boolean,
  signal: AbortSignal
): Promise<MessageInitShape<typeof questionPb.ExplainedSchema>[]> {
  const { machine, registered } = deps
  const { explain, endedOn } = deps.explainer
  const protocol = wanted === apiPb.Protocol.UDP ? 'udp' : 'tcp'
  const isHere = (text: string): boolean => {
    const pattern = parsePattern(text)
    const isNamed = namesOf(pattern)[NAME_PARTS] === machine
    return isNamed || registered().some(one => one.machine === machine && matches(pattern, one.address))
  }
  const asked = { source, protocol, isForOthers } as const
  if (isHere(source)) return [{ role: 'source', ...plain(await explain({ ...asked, destination }, signal)) }]
  if (isHere(destination) || endedOn(destination).includes(machine)) {
    // Only the instances of this host: what the others are is for their hosts to say.
    const own = [...destination.split('.').slice(0, NAME_PARTS), machine].join('.')
    const { steps } = await explain({ ...asked, destination: own }, signal)
    // The source and the path are for the other host to look at. A program that knows no third verdict asks whether anything is wrong here.
    const found = steps.filter(one => !ELSEWHERE.has(one.subject) || !(one.ok || one.unknown))
    const isWrong = found.some(({ ok, unknown }) => !ok && !unknown)
    return [{ role: 'destination', works: !isWrong, undecided: false, steps: found }]
  }
  return isForOthers ? [] : [{ role: 'neither', ...plain(await explain({ ...asked, destination }, signal)) }]
}

function plain({ works, undecided, steps }: Explanation) {
  return { works, undecided, steps: [...steps] }
}
