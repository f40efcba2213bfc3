import { ErrorCode, WarrenError } from '../../core/index.ts'
import { type PeerKey, parseCertificate, type TrustState, verifyNodeChain } from '../../identity/index.ts'
import { TrustFile, Vault } from '../../state/index.ts'
import { readNode } from '../membership/index.ts'

export interface Whose {
  readonly vault: Vault
  readonly trust: TrustState
  readonly machine: string
  readonly peer: PeerKey
}

/** The host of a state directory, also if its certificates have expired. Throws NOT_INITIALIZED, STATE_UNUSABLE. */
export function whoseState(stateDir: string): Whose {
  // This check must not create the directory.
  const vault = Vault.existing(stateDir)
  const own = vault === undefined ? undefined : readNode(vault)
  if (vault === undefined || own === undefined) {
    throw new WarrenError(ErrorCode.NotInitialized, `${stateDir} is not the state of a host`, {
      hint: 'Give the --state-dir that `warren up` uses.'
    })
  }
  const file = new TrustFile(vault)
  const trust = file.state
  const { chain } = own
  const endedMs = chain[0] === undefined ? 0 : parseCertificate(chain[0]).notAfterMs
  const verdict = verifyNodeChain(chain, { ...trust, roots: [...trust.roots, ...file.formerRoots()] }, endedMs - 1)
  if (!verdict.ok)
    throw new WarrenError(ErrorCode.StateUnusable, `the certificate of this host is not valid: ${verdict.detail}`)
  const { machine, peer } = verdict.identity
  return { vault, trust, machine, peer }
}
