/**
 * Where the SubjectPublicKeyInfo is in the exact bytes of a certificate or a certificate request.
 *
 * Libraries read BER, and write what they have read anew in DER; what was signed, and what others hash, are the bytes that came.
 */

const SEQUENCE = 0x30
const BIT_STRING = 0x03
const VERSION = 0xa0
const LONG_LENGTH = 0x80

interface Element {
  readonly tag: number
  /** With tag and length. */
  readonly whole: Uint8Array
  readonly content: Uint8Array
}

/** What of a certificate or a request is signed: the same whatever the signature. Throws RangeError where it is no DER. */
export function signedPartOf(der: Uint8Array): Uint8Array {
  return signedPart(der).whole
}

/** The SubjectPublicKeyInfo of a certificate. Throws RangeError where the bytes on the way to it are no DER. */
export function spkiOfCertificate(der: Uint8Array): Uint8Array {
  const [first, ...rest] = childrenOf(signedPart(der).content)
  // Version 1 leaves its number out. Then serial, signature algorithm, issuer, dates, subject.
  return spkiAt(first?.tag === VERSION ? rest : [first, ...rest], 5)
}

/** The SubjectPublicKeyInfo of a PKCS#10 request. Throws RangeError as `spkiOfCertificate`. */
export function spkiOfRequest(der: Uint8Array): Uint8Array {
  // Version, subject.
  return spkiAt(childrenOf(signedPart(der).content), 2)
}

// Both are a sequence of what is signed, the algorithm, and the signature, with nothing behind it.
function signedPart(der: Uint8Array): Element {
  const [outer, another] = childrenOf(der)
  if (outer?.tag !== SEQUENCE || another !== undefined) throw notDer()
  const [signed, algorithm, signature, extra] = childrenOf(outer.content)
  if (signed?.tag !== SEQUENCE || algorithm?.tag !== SEQUENCE) throw notDer()
  if (signature?.tag !== BIT_STRING || extra !== undefined) throw notDer()
  return signed
}

function spkiAt(elements: ReadonlyArray<Element | undefined>, index: number): Uint8Array {
  const found = elements[index]
  if (found?.tag !== SEQUENCE) throw notDer()
  return found.whole
}

function childrenOf(content: Uint8Array): Element[] {
  const children: Element[] = []
  for (let rest = content; rest.length > 0; ) {
    const element = firstOf(rest)
    children.push(element)
    rest = rest.subarray(element.whole.length)
  }
  return children
}

function firstOf(bytes: Uint8Array): Element {
  const [tag, short] = bytes
  if (tag === undefined || short === undefined) throw notDer()
  // Tags of several bytes occur in none of the two.
  if ((tag & 0x1f) === 0x1f) throw notDer()
  let start = 2
  let length = short
  if (short >= LONG_LENGTH) {
    const count = short - LONG_LENGTH
    // None: an end that is looked for, which is BER. More than three: nothing here is so large.
    if (count < 1 || count > 3) throw notDer()
    start += count
    length = bytes.subarray(2, start).reduce((sum, byte) => sum * 256 + byte, 0)
    // The shortest form only.
    if (length < LONG_LENGTH || bytes[2] === 0) throw notDer()
  }
  if (start + length > bytes.length) throw notDer()
  return { tag, whole: bytes.subarray(0, start + length), content: bytes.subarray(start, start + length) }
}

function notDer(): RangeError {
  return new RangeError('not DER')
}
