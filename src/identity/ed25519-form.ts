const KEY_BYTES = 32
/** 2^255 - 19, little-endian. A coordinate is below it; otherwise the same point would have a second encoding. */
const FIELD = Buffer.from(`ed${'ff'.repeat(30)}7f`, 'hex')
/**
 * Coordinates of the points of small order: if a key is one of these points, anybody can make its signatures.
 *
 * https://www.rfc-editor.org/rfc/rfc7748#section-6.1 gives the reason; the list is the usual one, without the second encodings.
 */
const SMALL_ORDER = [
  '00'.repeat(32),
  `01${'00'.repeat(31)}`,
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  `ec${'ff'.repeat(30)}7f`
].map(hex => Buffer.from(hex, 'hex'))

/**
 * Whether raw bytes can be an Ed25519 key of a host: 32 bytes, in the only encoding of the point, and not a point of small order.
 * Each signature check shows whether the point is on the curve.
 */
export function isEd25519Key(raw: Uint8Array): boolean {
  if (raw.length !== KEY_BYTES) return false
  const coordinate = Buffer.from(raw)
  // The highest bit is the sign of the other coordinate.
  coordinate[KEY_BYTES - 1] = (coordinate[KEY_BYTES - 1] ?? 0) & 0x7f
  return isBelowField(coordinate) && !SMALL_ORDER.some(point => point.equals(coordinate))
}

function isBelowField(coordinate: Buffer): boolean {
  return Buffer.from(coordinate).reverse().compare(Buffer.from(FIELD).reverse()) < 0
}
