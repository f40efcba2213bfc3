import { execFileSync } from 'node:child_process'
import { createPublicKey, type KeyObject, sign } from 'node:crypto'

/** Every form of one P-256 key but the one that counts, as OpenSSL writes them or reads them (SubjectPublicKeyInfo). */
export const OTHER_FORMS = ['compressed', 'hybrid', 'explicit', 'long length', 'extra byte'] as const
export type OtherForm = (typeof OTHER_FORMS)[number]

/** How a refusal names each of them. */
export const NAMED: Readonly<Record<OtherForm, RegExp>> = {
  compressed: /a compressed point/,
  hybrid: /a hybrid point/,
  explicit: /a curve that is spelled out/,
  'long length': /not DER|cannot be read/,
  'extra byte': /not DER|cannot be read/
}

export function canonicalSpki(key: KeyObject): Buffer {
  return (key.type === 'private' ? createPublicKey(key) : key).export({ format: 'der', type: 'spki' })
}

export function spkiIn(form: OtherForm, key: KeyObject): Buffer {
  const spki = canonicalSpki(key)
  switch (form) {
    case 'compressed':
    case 'hybrid':
      return openssl(['ec', '-pubin', '-inform', 'DER', '-pubout', '-outform', 'DER', '-conv_form', form], spki)
    case 'explicit':
      return openssl(['ec', '-pubin', '-inform', 'DER', '-pubout', '-outform', 'DER', '-param_enc', form], spki)
    case 'long length':
      return Buffer.concat([Buffer.of(0x30, 0x81), spki.subarray(1)])
    case 'extra byte':
      return sequence(...childrenOf(spki), Buffer.of(0x05, 0x00))
  }
}

/** A private key as PEM in that form; `sec1` for the older syntax. */
export function pemIn(form: 'compressed' | 'explicit', key: KeyObject): string {
  const pem = Buffer.from(key.export({ format: 'pem', type: 'pkcs8' }))
  const how = form === 'explicit' ? ['-param_enc', 'explicit'] : ['-conv_form', form]
  return openssl(['ec', ...how], pem).toString()
}

/** `certificate` with another SubjectPublicKeyInfo, signed anew by `issuer`. */
export function certificateWith(certificate: Uint8Array, spki: Uint8Array, issuer: KeyObject): Buffer {
  return resigned(certificate, parts => parts.with(6, Buffer.from(spki)), issuer)
}

/** `request` (PKCS#10) with another SubjectPublicKeyInfo, signed anew by its key. */
export function requestWith(request: Uint8Array, spki: Uint8Array, key: KeyObject): Buffer {
  return resigned(request, parts => parts.with(2, Buffer.from(spki)), key)
}

/** `certificate` with a second signature for the same bytes, made out of the first without any key. */
export function withOtherSignature(certificate: Uint8Array): Buffer {
  const [signed, algorithm, signature] = childrenOf(certificate)
  // Of the bit string, the first byte counts unused bits.
  const [r, s] = childrenOf(childrenOf(element(0x30, signature!))[0]!.subarray(3))
  const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n
  const value = order - BigInt(`0x${s!.subarray(2).toString('hex')}`)
  const bytes = Buffer.from(
    value
      .toString(16)
      .padStart(64, '0')
      .replace(/^(00)+/, ''),
    'hex'
  )
  const padded = bytes[0]! >= 0x80 ? Buffer.concat([Buffer.of(0), bytes]) : bytes
  const other = sequence(r!, element(0x02, padded))
  return sequence(signed!, algorithm!, element(0x03, Buffer.concat([Buffer.of(0), other])))
}

function resigned(der: Uint8Array, change: (parts: Buffer[]) => Buffer[], key: KeyObject): Buffer {
  const [signed, algorithm] = childrenOf(der)
  const content = sequence(...change(childrenOf(signed!)))
  const signature = sign('sha256', content, key)
  return sequence(content, algorithm!, element(0x03, Buffer.concat([Buffer.of(0), signature])))
}

function openssl(args: readonly string[], input: Buffer): Buffer {
  return execFileSync('openssl', args, { input, stdio: ['pipe', 'pipe', 'ignore'] })
}

/** The elements inside a DER sequence, each with its tag and length. */
function childrenOf(der: Uint8Array): Buffer[] {
  const children: Buffer[] = []
  const { start, end } = extent(der)
  for (let rest = Buffer.from(der.subarray(start, end)); rest.length > 0; ) {
    const size = extent(rest).end
    children.push(rest.subarray(0, size))
    rest = rest.subarray(size)
  }
  return children
}

function extent(der: Uint8Array): { start: number; end: number } {
  const short = der[1]!
  const count = short < 0x80 ? 0 : short - 0x80
  const length = count === 0 ? short : Buffer.from(der).readUIntBE(2, count)
  return { start: 2 + count, end: 2 + count + length }
}

function sequence(...children: Uint8Array[]): Buffer {
  return element(0x30, Buffer.concat(children))
}

function element(tag: number, content: Uint8Array): Buffer {
  const { length } = content
  const head = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.of(tag, ...head), content])
}
