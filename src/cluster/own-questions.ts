import { matches, namesOf, type PeerKey, parsePattern } from '../identity/index.ts'
import { lookup, owner, type RegistryState } from '../registry/index.ts'
import type { AnswerKind } from './gather/index.ts'
import { decodeObservationQuestion } from './observations/index.ts'

/**
 * Whether a host asks about a connection of its own: between two workloads, both named, of which one is registered there, or is named
 * with that host. Such a question needs no right of an admin. Throws MESSAGE_MALFORMED.
 */
export function asksAboutOwn(
  state: RegistryState,
  { kind, content, requester }: { readonly kind: AnswerKind; readonly content: Uint8Array; readonly requester: PeerKey }
): boolean {
  if (kind !== 'observation') return false
  const { ask } = decodeObservationQuestion(content)
  const machine = owner(state, requester)?.machine
  if (ask.case !== 'explain' || machine === undefined) return false
  try {
    const [source, destination] = [ask.value.source, ask.value.destination].map(text => endOf(state, text, requester))
    return [source, destination].every(end => end?.isOne === true) && [source, destination].some(isOwn(machine))
  } catch {
    // It is no pattern.
    return false
  }
}

interface End {
  /** All of its names but that of the machine are given. */
  readonly isOne: boolean
  readonly machine: string | undefined
  readonly isRegistered: boolean
}

function endOf(state: RegistryState, text: string, requester: PeerKey): End {
  const pattern = parsePattern(text)
  const [scope, appGroup, appIdentity, resourceGroup, machine] = namesOf(pattern)
  if (scope === undefined || appGroup === undefined || appIdentity === undefined || resourceGroup === undefined)
    return { isOne: false, machine, isRegistered: false }
  const found = lookup(state, { scope, appGroup, appIdentity, resourceGroup })
  const isRegistered = found.some(
    ({ record, owner: { peer } }) => peer === requester && matches(pattern, record.address)
  )
  return { isOne: true, machine, isRegistered }
}

const isOwn =
  (machine: string) =>
  (end: End | undefined): boolean =>
    end !== undefined && (end.isRegistered || end.machine === machine)
