import { childrenOf, type Element, extensionsOf, notDer } from '../der.ts'
import { bindingFromExtension, NODE_BINDING_OID } from './binding.ts'

/** What the extensions of a certificate say. */
export interface Extensions {
  /** Undefined without the basic constraints extension. */
  readonly basicConstraints: { readonly ca: boolean; readonly pathLength: number | undefined } | undefined
  /** Bits of the key usage extension, that of digitalSignature first (1); undefined without it. */
  readonly keyUsage: number | undefined
  /** OIDs of the extended key usage extension; undefined without it. */
  readonly extendedKeyUsage: readonly string[] | undefined
  /** Every subject alternative name, as type and value. The value of a type that is not text is in hex. */
  readonly names: ReadonlyArray<{ readonly type: string; readonly value: string }>
  /** Bytes of a SignedNodeBinding; undefined without the extension. */
  readonly binding: Uint8Array | undefined
  /** Critical extensions that this code does not understand. */
  readonly unknownCritical: readonly string[]
  /** Whether an extension occurs twice, so that two readers could read different values. */
  readonly repeatedExtension: boolean
}

/** Bits of `keyUsage`. */
export const KeyUsage = Object.freeze({ digitalSignature: 1, keyCertSign: 1 << 5, crlSign: 1 << 6 })

export const Oid = Object.freeze({
  subjectKeyId: '2.5.29.14',
  keyUsage: '2.5.29.15',
  alternativeName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  authorityKeyId: '2.5.29.35',
  extendedKeyUsage: '2.5.29.37'
})

const UNDERSTOOD: ReadonlySet<string> = new Set([...Object.values(Oid), NODE_BINDING_OID])

const TAG = Object.freeze({
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  sequence: 0x30
})
/** Of a GeneralName that is text, by its tag (RFC 5280, section 4.2.1.6). */
const TEXT_NAMES = new Map([
  [0x81, 'email'],
  [0x82, 'dns'],
  [0x86, 'url']
])
const MAX_USAGE_BYTES = 2
const MAX_INTEGER_BYTES = 4

interface Extension {
  readonly type: string
  readonly critical: boolean
  readonly value: Uint8Array
}

/** Reads the extensions of a certificate (DER). Throws RangeError for one that is not DER, or not what its type says. */
export function readExtensions(der: Uint8Array): Extensions {
  const all = extensionsOf(der).map(toExtension)
  const types = all.map(({ type }) => type)
  const read = <T>(wanted: string, reader: (value: Uint8Array) => T): T | undefined => {
    const found = all.find(({ type }) => type === wanted)
    return found === undefined ? undefined : reader(found.value)
  }
  return {
    basicConstraints: read(Oid.basicConstraints, readConstraints),
    keyUsage: read(Oid.keyUsage, readUsage),
    extendedKeyUsage: read(Oid.extendedKeyUsage, value => contentsOf(value).map(readOid)),
    names: read(Oid.alternativeName, value => contentsOf(value).map(readName)) ?? [],
    binding: read(NODE_BINDING_OID, bindingFromExtension),
    unknownCritical: all.filter(({ critical, type }) => critical && !UNDERSTOOD.has(type)).map(({ type }) => type),
    repeatedExtension: new Set(types).size !== types.length
  }
}

function toExtension(elements: readonly Element[]): Extension {
  const [oid, ...rest] = elements
  const critical = rest[0]?.tag === TAG.boolean ? rest.shift() : undefined
  const [value, extra] = rest
  if (oid === undefined || value?.tag !== TAG.octetString || extra !== undefined) throw notDer()
  return { type: readOid(oid), critical: critical !== undefined && readBoolean(critical), value: value.content }
}

function readConstraints(value: Uint8Array): { readonly ca: boolean; readonly pathLength: number | undefined } {
  const fields = contentsOf(value)
  const ca = fields[0]?.tag === TAG.boolean ? fields.shift() : undefined
  const length = fields.shift()
  if (fields.length > 0) throw notDer()
  return {
    ca: ca !== undefined && readBoolean(ca),
    pathLength: length === undefined ? undefined : readSmall(length)
  }
}

function readUsage(value: Uint8Array): number {
  const element = single(value, TAG.bitString)
  const [unused = 8, ...bytes] = element.content
  if (unused > 7 || bytes.length > MAX_USAGE_BYTES || (bytes.length === 0 && unused > 0)) throw notDer()
  // The first bit of the first byte is the lowest.
  let usage = 0
  for (let bit = 0; bit < bytes.length * 8 - unused; bit += 1) {
    if (((bytes[bit >> 3] ?? 0) & (0x80 >> (bit & 7))) !== 0) usage |= 1 << bit
  }
  return usage
}

function readName({ tag, content }: Element): { readonly type: string; readonly value: string } {
  const type = TEXT_NAMES.get(tag)
  if (type === undefined) return { type: `tag ${tag & 0x1f}`, value: Buffer.from(content).toString('hex') }
  if (content.some(byte => byte > 0x7f)) throw notDer()
  return { type, value: Buffer.from(content).toString('latin1') }
}

// Components may be larger than a number holds: those of the arc 2.25 have 128 bits.
function readOid({ tag, content }: Element): string {
  const components: bigint[] = []
  let value = 0n
  let isBegun = false
  for (const byte of content) {
    // Another form of the same number.
    if (!isBegun && byte === 0x80) throw notDer()
    value = value * 128n + BigInt(byte & 0x7f)
    isBegun = (byte & 0x80) !== 0
    if (isBegun) continue
    components.push(value)
    value = 0n
  }
  const [first, ...rest] = components
  if (tag !== TAG.oid || first === undefined || isBegun) throw notDer()
  const root = first < 40n ? 0n : first < 80n ? 1n : 2n
  return [root, first - root * 40n, ...rest].join('.')
}

// DER knows two values.
function readBoolean({ content }: Element): boolean {
  const [value, extra] = content
  if ((value !== 0 && value !== 0xff) || extra !== undefined) throw notDer()
  return value === 0xff
}

// Not negative, and in its shortest form.
function readSmall({ tag, content }: Element): number {
  const [first = 0x80, second = 0x80] = content
  const isLong = first === 0 && content.length > 1 && second < 0x80
  if (tag !== TAG.integer || first >= 0x80 || isLong || content.length > MAX_INTEGER_BYTES) throw notDer()
  return content.reduce((sum, byte) => sum * 256 + byte, 0)
}

function contentsOf(value: Uint8Array): Element[] {
  return childrenOf(single(value, TAG.sequence).content)
}

function single(value: Uint8Array, tag: number): Element {
  const [element, another] = childrenOf(value)
  if (element?.tag !== tag || another !== undefined) throw notDer()
  return element
}
