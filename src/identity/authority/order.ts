import { ErrorCode, WarrenError } from '../../core/index.ts'
import { authorityPb, create, decode, toBinary } from '../../wire/index.ts'
import { isComponent } from '../address.ts'
import type { Issuer } from '../certificate/issue.ts'
import { parseCertificate } from '../certificate/parse.ts'
import { CONTEXT, signP256, verifyP256 } from '../keys.ts'
import { type PeerKey, peerKeyOf, rawKeyOf } from '../peer-key.ts'
import type { TrustState } from '../trust-bundle.ts'

/** The action that a root orders one host to take. */
export interface Order {
  readonly action: 'become' | 'resign'
  readonly machine: string
  readonly peer: PeerKey
}

/** An order is valid for this long before and after its date: clocks differ, and an old order must not be usable for ever. */
export const ORDER_FRESH_MS = 300_000
const MAX_ORDER_BYTES = 1_024

export function signOrder(
  { action, machine, peer }: Order,
  root: Issuer,
  trustDomain: string,
  nowMs: number
): authorityPb.SignedOrder {
  const order = toBinary(
    authorityPb.OrderSchema,
    create(authorityPb.OrderSchema, {
      action: action === 'become' ? authorityPb.Action.BECOME : authorityPb.Action.RESIGN,
      trustDomain,
      machine,
      peerPublicKey: rawKeyOf(peer),
      issuedAtMs: BigInt(nowMs)
    })
  )
  return create(authorityPb.SignedOrderSchema, {
    order,
    rootSha256: Buffer.from(parseCertificate(root.certificate).sha256, 'hex'),
    signature: signP256(root.key, CONTEXT.authorityOrder, order)
  })
}

/**
 * Verifies and reads an order that a trusted root signed for this host a moment ago.
 *
 * Throws SIGNATURE_INVALID when no trusted root signed it, before anything in it is read; CERTIFICATE_REFUSED when it is for
 * another host or trust domain, or its date is too far from now; MESSAGE_MALFORMED, MESSAGE_TOO_LARGE.
 */
export function openOrder(
  { order: bytes, rootSha256, signature }: authorityPb.SignedOrder,
  own: { readonly machine: string; readonly peer: PeerKey },
  trust: TrustState,
  nowMs: number
): Order {
  const fingerprint = Buffer.from(rootSha256).toString('hex')
  const root = trust.roots.find(({ sha256 }) => sha256 === fingerprint)
  if (root === undefined || !verifyP256(root.publicKey, CONTEXT.authorityOrder, bytes, signature)) {
    throw new WarrenError(ErrorCode.SignatureInvalid, 'the order is not signed by a root that this host trusts')
  }
  const { action, trustDomain, machine, peerPublicKey, issuedAtMs } = decode(
    authorityPb.OrderSchema,
    bytes,
    MAX_ORDER_BYTES
  )
  if (!isComponent(machine) || action === authorityPb.Action.UNSPECIFIED || authorityPb.Action[action] === undefined) {
    throw new WarrenError(ErrorCode.MessageMalformed, 'the order has no action that this host knows')
  }
  const peer = peerKeyOf(peerPublicKey)
  if (trustDomain !== trust.trustDomain || machine !== own.machine || peer !== own.peer) {
    throw new WarrenError(ErrorCode.CertificateRefused, 'the order is for another host')
  }
  if (Math.abs(nowMs - Number(issuedAtMs)) > ORDER_FRESH_MS) {
    throw new WarrenError(ErrorCode.CertificateRefused, 'the date of the order is too far from now', {
      hint: 'Check the clocks.'
    })
  }
  return { action: action === authorityPb.Action.BECOME ? 'become' : 'resign', machine, peer }
}
