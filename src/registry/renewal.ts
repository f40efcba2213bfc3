import type { Entry, RegistryState } from './state.ts'

/** Number of requests for the chain of one renewed certificate; after that, the chain held is used until it expires. */
const MAX_TRIES = 8

/** Whether an owner's head names another certificate than the one held, and it should still be requested. */
export function chainIsStale(state: RegistryState, { owner, sealed, certificateSha256 }: Entry): boolean {
  const wanted = sealed.head.certificateSha256
  if (owner === state.own.peer || wanted === certificateSha256) return false
  const known = state.chainTries.get(owner)
  // An owner that names certificates which do not exist must not make every host ask for them without end.
  return known === undefined || known.tries < MAX_TRIES || known.certificateSha256 !== wanted
}

/** Whether the certificate that an owner's head names has been requested already, however that ended. */
export function wasChainTried(state: RegistryState, { owner, sealed }: Entry): boolean {
  return state.chainTries.get(owner)?.certificateSha256 === sealed.head.certificateSha256
}

export function noteChainTry(state: RegistryState, { owner, sealed }: Entry): void {
  const { certificateSha256 } = sealed.head
  const known = state.chainTries.get(owner)
  const tries = known?.certificateSha256 === certificateSha256 ? known.tries + 1 : 1
  state.chainTries.set(owner, { certificateSha256, tries })
}
