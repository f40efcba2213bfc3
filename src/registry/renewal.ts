import type { Entry, RegistryState } from './state.ts'

/** How often the chain of one renewed certificate is asked for; after that the held one serves until it ends. */
const MAX_TRIES = 8

/** Whether an owner's head names another certificate than the one held, and it is still worth asking for. */
export function chainIsStale(state: RegistryState, { owner, sealed, certificateSha256 }: Entry): boolean {
  const wanted = sealed.head.certificateSha256
  if (owner === state.own.peer || wanted === certificateSha256) return false
  const known = state.chainTries.get(owner)
  // An owner that names certificates which do not exist must not make every host ask for them without end.
  return known === undefined || known.tries < MAX_TRIES || known.certificateSha256 !== wanted
}

export function noteChainTry(state: RegistryState, { owner, sealed }: Entry): void {
  const { certificateSha256 } = sealed.head
  const known = state.chainTries.get(owner)
  const tries = known?.certificateSha256 === certificateSha256 ? known.tries + 1 : 1
  state.chainTries.set(owner, { certificateSha256, tries })
}
