import { toString as encode, fromString } from 'uint8arrays'
import { ErrorCode, LruMap, WarrenError } from '../core/index.ts'
import { isEd25519Key } from './ed25519-form.ts'

/** A libp2p PeerId of an Ed25519 key in its usual text form, "12D3Koo…". Equal keys have equal text. */
export type PeerKey = string & { readonly __brand: 'PeerKey' }

// An identity multihash (00 24) of the protobuf of an Ed25519 public key (08 01 12 20, then the key).
// https://github.com/libp2p/specs/blob/master/peer-ids/peer-ids.md
const PREFIX = Uint8Array.of(0x00, 0x24, 0x08, 0x01, 0x12, 0x20)
const KEY_BYTES = 32
// 38 bytes in base58: one "1" for the leading zero byte and 51 digits.
const TEXT_LENGTH = 52
/** Greater than the number of owners that are held; an entry that is evicted only costs time. */
const MAX_REMEMBERED = 4_096

// Base58 costs 3 µs in each direction, and a host names each of its peers many times a second.
const texts = new LruMap<string, PeerKey>(MAX_REMEMBERED)
const keys = new LruMap<string, Uint8Array>(MAX_REMEMBERED)

/** The PeerKey of a raw Ed25519 public key (32 bytes). Throws INVALID_ARGUMENT for another length or an unusable key. */
export function peerKeyOf(raw: Uint8Array): PeerKey {
  if (raw.length !== KEY_BYTES) {
    throw new WarrenError(ErrorCode.InvalidArgument, `a peer's public key has ${KEY_BYTES} bytes, not ${raw.length}`)
  }
  const known = Buffer.from(raw.buffer, raw.byteOffset, raw.byteLength).toString('latin1')
  return texts.getOrMake(known, () => textOf(raw))
}

function textOf(raw: Uint8Array): PeerKey {
  if (!isEd25519Key(raw)) {
    throw new WarrenError(ErrorCode.InvalidArgument, "a peer's public key is not in the one encoding of an Ed25519 key")
  }
  return encode(Buffer.concat([PREFIX, raw]), 'base58btc') as PeerKey
}

/** The raw Ed25519 public key (32 bytes) in a PeerKey. Throws INVALID_ARGUMENT if there is none. */
export function rawKeyOf(peer: PeerKey): Uint8Array {
  return Uint8Array.from(known(peer))
}

/** Returns `text` if it is the PeerId of an Ed25519 key in base58. Throws INVALID_ARGUMENT. */
export function parsePeerKey(text: string): PeerKey {
  known(text)
  return text as PeerKey
}

function known(text: string): Uint8Array {
  return keys.getOrMake(text, () => decode(text))
}

function decode(text: string): Uint8Array {
  // Checked before decoding, whose cost grows with the square of the length.
  if (text.length !== TEXT_LENGTH) throw refusal()
  try {
    const bytes = fromString(text, 'base58btc')
    if (bytes.length === PREFIX.length + KEY_BYTES && PREFIX.every((byte, at) => bytes[at] === byte)) {
      const raw = Uint8Array.from(bytes.subarray(PREFIX.length))
      // From here on the text is compared, so it must be the only text of this key.
      if (peerKeyOf(raw) === text) return raw
    }
  } catch (cause) {
    throw refusal({ cause })
  }
  throw refusal()
}

function refusal(options: ErrorOptions = {}): WarrenError {
  return new WarrenError(ErrorCode.InvalidArgument, 'not the PeerId of an Ed25519 key', {
    ...options,
    hint: 'A PeerId looks like 12D3KooW… and has 52 characters.'
  })
}
