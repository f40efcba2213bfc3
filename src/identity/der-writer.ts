/**
 * Writes DER: as much of it as certificates and requests of this mesh contain. Each function returns the encoding of one
 * element, tag and length included.
 */

const LONG_LENGTH = 0x80

const TAG = Object.freeze({
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utf8String: 0x0c,
  printableString: 0x13,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31
})

/** An element with this tag. */
export function element(tag: number, content: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from([tag, ...lengthOf(content.length)]), content])
}

export function sequence(...elements: readonly Uint8Array[]): Buffer {
  return element(TAG.sequence, Buffer.concat(elements))
}

export function set(...elements: readonly Uint8Array[]): Buffer {
  return element(TAG.set, Buffer.concat(elements))
}

/** The tag `[number]` of a context, around elements or, with `isPlain`, in place of the tag of a plain value. */
export function tagged(number: number, content: Uint8Array, isPlain = false): Buffer {
  return element((isPlain ? 0x80 : 0xa0) | number, content)
}

export function boolean(value: boolean): Buffer {
  return element(TAG.boolean, Buffer.from([value ? 0xff : 0]))
}

/** A positive integer, as bytes or as a small number. */
export function integer(value: Uint8Array | number): Buffer {
  const bytes = typeof value === 'number' ? Buffer.from([value]) : value
  const [first = 0] = bytes
  // A first bit of 1 means a negative number.
  return element(TAG.integer, first < 0x80 ? bytes : Buffer.concat([Buffer.from([0]), bytes]))
}

export function octetString(bytes: Uint8Array): Buffer {
  return element(TAG.octetString, bytes)
}

/** `unused`: how many of the last bits do not count. */
export function bitString(bytes: Uint8Array, unused = 0): Buffer {
  return element(TAG.bitString, Buffer.concat([Buffer.from([unused]), bytes]))
}

/** `dotted`: as in 2.5.29.19. */
export function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number)
  return element(TAG.oid, Buffer.from([first * 40 + second, ...rest].flatMap(base128)))
}

/** PrintableString where its letters suffice, UTF8String otherwise. */
export function text(value: string): Buffer {
  const isPrintable = /^[A-Za-z0-9 '()+,./:=?-]*$/.test(value)
  return element(isPrintable ? TAG.printableString : TAG.utf8String, Buffer.from(value, 'utf8'))
}

/** A time of a certificate, in whole seconds: UTCTime until 2049 and GeneralizedTime from then on, as RFC 5280 wants it. */
export function time(wallMs: number): Buffer {
  const digits = `${new Date(wallMs).toISOString().slice(0, 19).replaceAll(/[-T:]/g, '')}Z`
  const isLate = digits >= '2050'
  return element(isLate ? TAG.generalizedTime : TAG.utcTime, Buffer.from(isLate ? digits : digits.slice(2), 'latin1'))
}

function lengthOf(bytes: number): number[] {
  if (bytes < LONG_LENGTH) return [bytes]
  const digits: number[] = []
  for (let rest = bytes; rest > 0; rest = Math.floor(rest / 256)) digits.unshift(rest % 256)
  return [LONG_LENGTH | digits.length, ...digits]
}

function base128(value: number): number[] {
  const digits = [value % 128]
  for (let rest = Math.floor(value / 128); rest > 0; rest = Math.floor(rest / 128)) digits.unshift(128 | (rest % 128))
  return digits
}
