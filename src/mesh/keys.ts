import { createPrivateKey, KeyObject } from 'node:crypto'
import { privateKeyFromRaw } from '@libp2p/crypto/keys'
import type { PeerId, PrivateKey } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import { ErrorCode, LruMap, WarrenError } from '../core/index.ts'
import { type PeerKey, parsePeerKey } from '../identity/index.ts'
import { MAX_KNOWN_PEERS } from './limits.ts'

const SEED_BYTES = 32
// RFC 8410, section 7: the PKCS#8 wrapping of an Ed25519 seed.
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex')

/** The libp2p private key of a host, from its raw seed or its KeyObject. Throws INVALID_ARGUMENT unless it is Ed25519. */
export function toPrivateKey(key: Uint8Array | KeyObject): PrivateKey {
  const jwk = (key instanceof KeyObject ? key : fromSeed(key)).export({ format: 'jwk' })
  if (jwk.crv !== 'Ed25519' || jwk.d === undefined || jwk.x === undefined) {
    throw new WarrenError(ErrorCode.InvalidArgument, 'the peer key must be an Ed25519 private key')
  }
  return privateKeyFromRaw(
    new Uint8Array(Buffer.concat([Buffer.from(jwk.d, 'base64url'), Buffer.from(jwk.x, 'base64url')]))
  )
}

function fromSeed(seed: Uint8Array): KeyObject {
  if (seed.length !== SEED_BYTES) {
    throw new WarrenError(ErrorCode.InvalidArgument, `a peer key seed has ${SEED_BYTES} bytes, not ${seed.length}`)
  }
  return createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, seed]), format: 'der', type: 'pkcs8' })
}

// A PeerId also stores its own text, which libp2p asks for at each look-up.
const ids = new LruMap<PeerKey, PeerId>(MAX_KNOWN_PEERS)

/** The PeerKey of a libp2p PeerId. Throws INVALID_ARGUMENT unless it is that of an Ed25519 key. */
export function peerKeyFromId(id: PeerId): PeerKey {
  return parsePeerKey(id.toString())
}

/** The libp2p form of a PeerKey. */
export function toPeerId(peer: PeerKey): PeerId {
  return ids.getOrMake(peer, () => peerIdFromString(peer))
}
