import { isOfKubernetes, type policyPb } from '../wire/index.ts'
import { malformed } from './codec.ts'
import type { Entry } from './entry.ts'
import { encodeEntry } from './entry-codec.ts'
import { isOfLaterForm } from './selectors.ts'

type Lists = Pick<policyPb.Bundle, 'entries' | 'containerEntries' | 'kubernetesEntries'>

/** All entries of a bundle. Throws MESSAGE_MALFORMED if one is where agents that do not know its selectors would read it. */
export function entriesIn({ entries, containerEntries, kubernetesEntries }: Lists): policyPb.Entry[] {
  const misplaced = [...entries, ...containerEntries].find(isOfKubernetes)
  if (misplaced !== undefined) throw malformed(`entry ${misplaced.id} is in a list of older agents`)
  return [...entries, ...containerEntries, ...kubernetesEntries]
}

/** Entries by the agents that read them: an agent ignores a list with selectors that it does not know, and so grants less. */
export function listsOf(all: readonly Entry[]): Lists {
  const entries = all.filter(entry => !isOfLaterForm(entry))
  const ofContainers = all.filter(isOfLaterForm)
  return {
    entries: entries.map(encodeEntry),
    containerEntries: ofContainers.filter(entry => !isOfKubernetes(entry)).map(encodeEntry),
    kubernetesEntries: ofContainers.filter(isOfKubernetes).map(encodeEntry)
  }
}
