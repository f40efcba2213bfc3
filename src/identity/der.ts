/**
 * Reads DER, and nothing else: the exact bytes of a certificate or a certificate request.
 *
 * Libraries read BER, and encode what they have read anew in DER; but signatures and hashes cover the original bytes.
 */

const SEQUENCE = 0x30
const BIT_STRING = 0x03
const VERSION = 0xa0
const EXTENSIONS = 0xa3
/** The place of the key among the fields of a certificate, without that of the version. */
const SPKI = 5
const LONG_LENGTH = 0x80

export interface Element {
  readonly tag: number
  /** Includes the tag and the length. */
  readonly whole: Uint8Array
  readonly content: Uint8Array
}

/** The signed part of a certificate or a request: the same for each signature. Throws RangeError if the bytes are not DER. */
export function signedPartOf(der: Uint8Array): Uint8Array {
  return signedPart(der).whole
}

/** The SubjectPublicKeyInfo of a certificate. Throws RangeError where the bytes before it are not DER. */
export function spkiOfCertificate(der: Uint8Array): Uint8Array {
  return spkiAt(fieldsOf(der), SPKI)
}

/** The Name of the subject of a certificate, encoded. Throws RangeError like `spkiOfCertificate`. */
export function subjectOfCertificate(der: Uint8Array): Uint8Array {
  const subject = fieldsOf(der)[SPKI - 1]
  if (subject?.tag !== SEQUENCE) throw notDer()
  return subject.whole
}

/** The extensions of a certificate, each with its own elements. Throws RangeError where they are not DER. */
export function extensionsOf(der: Uint8Array): Element[][] {
  const optional = fieldsOf(der).slice(SPKI + 1)
  const last = optional.at(-1)
  if (last?.tag !== EXTENSIONS) return []
  const [list, another] = childrenOf(last.content)
  if (list?.tag !== SEQUENCE || another !== undefined) throw notDer()
  return childrenOf(list.content).map(extension => {
    if (extension.tag !== SEQUENCE) throw notDer()
    return childrenOf(extension.content)
  })
}

// Version 1 has no version field. Then follow serial, signature algorithm, issuer, dates, subject, key.
function fieldsOf(der: Uint8Array): Element[] {
  const [first, ...rest] = childrenOf(signedPart(der).content)
  if (first === undefined) throw notDer()
  return first.tag === VERSION ? rest : [first, ...rest]
}

/** What the issuer of a certificate, or the maker of a request, has signed it with, and how. Throws RangeError. */
export function signatureOf(der: Uint8Array): { readonly algorithm: Uint8Array; readonly signature: Uint8Array } {
  const [outer] = childrenOf(der)
  const [signed, algorithm, signature] = childrenOf(outer?.content ?? der)
  // The first byte says how many bits at the end do not count.
  if (signed === undefined || algorithm === undefined || signature?.content[0] !== 0) throw notDer()
  return { algorithm: algorithm.whole, signature: signature.content.subarray(1) }
}

/** The SubjectPublicKeyInfo of a PKCS#10 request. Throws RangeError like `spkiOfCertificate`. */
export function spkiOfRequest(der: Uint8Array): Uint8Array {
  // Version, subject.
  return spkiAt(childrenOf(signedPart(der).content), 2)
}

// Both are a sequence of the signed part, the algorithm and the signature, with nothing after it.
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

/** The elements in these bytes. Throws RangeError if they are anything else. */
export function childrenOf(content: Uint8Array): Element[] {
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
  // Tags of several bytes occur in neither of the two.
  if ((tag & 0x1f) === 0x1f) throw notDer()
  let start = 2
  let length = short
  if (short >= LONG_LENGTH) {
    const count = short - LONG_LENGTH
    // No length byte: an indefinite length, which is BER. More than three: nothing here is so large.
    if (count < 1 || count > 3) throw notDer()
    start += count
    length = bytes.subarray(2, start).reduce((sum, byte) => sum * 256 + byte, 0)
    // Only the shortest form is DER.
    if (length < LONG_LENGTH || bytes[2] === 0) throw notDer()
  }
  if (start + length > bytes.length) throw notDer()
  return { tag, whole: bytes.subarray(0, start + length), content: bytes.subarray(start, start + length) }
}

export function notDer(): RangeError {
  return new RangeError('not DER')
}
