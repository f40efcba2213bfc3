import { createPublicKey, type KeyObject } from 'node:crypto'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import { create, identityPb } from '../../wire/index.ts'
import { isComponent } from '../address.ts'
import { signBinding, spkiSha256 } from '../certificate/binding.ts'
import { requestFor } from '../certificate/request.ts'
import { MAX_SCOPES } from '../verify/index.ts'
import type { JoinOffer } from './admit.ts'
import { proveCertificate } from './certificate-proof.ts'
import { isInvitation, type JoinToken } from './token.ts'

/** The proof of a host that joins with an invitation. */
export type JoinProof =
  | {
      readonly method: 'certificate'
      /** DER: that of the host, then its issuers. */
      readonly chain: readonly Uint8Array[]
      readonly key: KeyObject
    }
  | { readonly method: 'oidc'; readonly token: string }

/** What a host has to ask with. */
export interface Requester {
  readonly token: JoinToken
  readonly proof?: JoinProof
  readonly name?: string
  readonly peerKey: KeyObject
  readonly nodeKey: KeyObject
}

/** The request of a host, for the authority that has sent this hello. */
export async function requestFrom(
  { token, proof, peerKey, nodeKey }: Requester,
  wanted: JoinOffer,
  { nonce, certificateChain }: identityPb.JoinHello
): Promise<identityPb.JoinRequest> {
  const nodeKeySha256 = spkiSha256(createPublicKey(nodeKey))
  const binding = signBinding({ trustDomain: token.trustDomain, ...wanted, nodeKeySha256 }, peerKey)
  const common = { csr: await requestFor(wanted.machine, nodeKey), binding }
  if (!isInvitation(token)) {
    const tokenId = Buffer.from(token.id, 'hex')
    return create(identityPb.JoinRequestSchema, { ...common, tokenId, secret: token.secret })
  }
  if (proof?.method === 'oidc') return create(identityPb.JoinRequestSchema, { ...common, oidcToken: proof.token })
  if (proof === undefined) throw new WarrenError(ErrorCode.InvalidOption, 'an invitation alone admits nobody')
  const channel = { nonce, leaf: certificateChain[0] ?? new Uint8Array() }
  const certificate = proveCertificate(proof, channel, binding.binding)
  return create(identityPb.JoinRequestSchema, { ...common, certificate })
}

/** The offer of an authority, if this host takes it. Throws JOIN_FAILED or INVALID_OPTION. */
export function checkOffer(offer: identityPb.JoinOffer, { token, name }: Pick<Requester, 'token' | 'name'>): JoinOffer {
  if (!isInvitation(token))
    throw new WarrenError(ErrorCode.JoinFailed, 'the authority offers other terms than the token')
  const { machine, scopes, ephemeral } = offer
  if (!isComponent(machine) || scopes.length > MAX_SCOPES || !scopes.every(isComponent)) {
    throw new WarrenError(ErrorCode.JoinFailed, 'the authority offers a name or a scope that is none')
  }
  if (name !== undefined && name !== machine) {
    throw new WarrenError(ErrorCode.InvalidOption, `the authority gives this host the name ${machine}, not ${name}`, {
      hint: 'Leave --name out: the proof contains the name.'
    })
  }
  return { machine, scopes, ephemeral }
}
