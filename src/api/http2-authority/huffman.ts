// RFC 7541, appendix B: the code length of each byte, and of the end, in base 36. The codes follow: they are in the order of their
// lengths, and then of their bytes.
const LENGTHS =
  'dnsssssssoussussssssssusssssssss6aacd68baa8b8666555666666678f6ca' +
  'd67777777777777777777777878djde6f56565666577666567655677777fbeds' +
  'kmkkmmmnmnnnnnonoomnonnnnlmnmnnomlkmmnnlnmmolmnnllmlnmnnkmmmnmmn' +
  'qqkjmnmpqqqrrqopjlqrrqrollqqsrrrkoklmllnmmppooqnqrqqrrrrrsrrrrrq' +
  'u'
const END = 256
const LONGEST = 30

/** Bytes by length and code. */
const BYTES = new Map<number, number>()
const keyOf = (length: number, code: number): number => length * 2 ** 32 + code

let code = 0
for (let length = 1; length <= LONGEST; length += 1) {
  code *= 2
  for (let byte = 0; byte <= END; byte += 1) {
    if (Number.parseInt(LENGTHS[byte] ?? '', 36) !== length) continue
    BYTES.set(keyOf(length, code), byte)
    code += 1
  }
}

/** Decodes a string of HPACK in Huffman's code; undefined if it is none. */
export function decodeHuffman(encoded: Uint8Array): Buffer | undefined {
  const decoded: number[] = []
  let bits = 0
  let length = 0
  for (const byte of encoded) {
    for (let mask = 0x80; mask > 0; mask >>= 1) {
      bits = bits * 2 + ((byte & mask) === 0 ? 0 : 1)
      length += 1
      const found = BYTES.get(keyOf(length, bits))
      if (found === END || length > LONGEST) return undefined
      if (found === undefined) continue
      decoded.push(found)
      bits = 0
      length = 0
    }
  }
  // What fills the last byte is the beginning of the end, which has ones only.
  return length < 8 && bits === 2 ** length - 1 ? Buffer.from(decoded) : undefined
}
