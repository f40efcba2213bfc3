import { ByteQueue, type Framing, MAX_DATAGRAM_BYTES } from '../../wire/index.ts'

// RFC 9297 section 3.5, and RFC 9298 section 4: context 0 is the payload of UDP.
const DATAGRAM_CAPSULE = 0x00
const UDP_CONTEXT = 0x00
const CONTEXT_BYTES = 1

/** DATAGRAM capsules of RFC 9297 with the context of RFC 9298 for UDP. */
export const capsuleFraming: Framing = {
  frameBytes: payloadBytes => 1 + varintBytes(CONTEXT_BYTES + payloadBytes) + CONTEXT_BYTES + payloadBytes,
  write: (payload, out, at) => {
    const length = CONTEXT_BYTES + payload.length
    const lengthBytes = varintBytes(length)
    out[at] = DATAGRAM_CAPSULE
    if (lengthBytes === 1) out.writeUInt8(length, at + 1)
    else if (lengthBytes === 2) out.writeUInt16BE(length + 0x4000, at + 1)
    else out.writeUInt32BE(length + 0x8000_0000, at + 1)
    out[at + 1 + lengthBytes] = UDP_CONTEXT
    out.set(payload, at + 2 + lengthBytes)
  }
}

export function encodeCapsule(payload: Uint8Array): Buffer {
  const capsule = Buffer.allocUnsafe(capsuleFraming.frameBytes(payload.length))
  capsuleFraming.write(payload, capsule, 0)
  return capsule
}

function varintBytes(value: number): number {
  return value < 0x40 ? 1 : value < 0x4000 ? 2 : 4
}

export interface CapsuleEvents {
  readonly datagram: (payload: Buffer) => void
  /** Called for each datagram above MAX_DATAGRAM_BYTES, which is skipped. */
  readonly oversized: () => void
}

/**
 * Reads capsules from a byte stream. Skips other types and contexts, as RFC 9297 asks, and capsules that are too large.
 * Never holds more than one datagram and one chunk.
 */
export class CapsuleParser {
  readonly #bytes = new ByteQueue()
  readonly #events: CapsuleEvents
  #skip = 0

  constructor(events: CapsuleEvents) {
    this.#events = events
  }

  push(chunk: Buffer): void {
    this.#bytes.push(chunk)
    while (this.#step());
  }

  #step(): boolean {
    const bytes = this.#bytes
    if (this.#skip > 0) {
      this.#skip -= bytes.skip(this.#skip)
      return this.#skip === 0
    }
    const type = varintAt(bytes, 0)
    const length = type === undefined ? undefined : varintAt(bytes, type.bytes)
    if (type === undefined || length === undefined) return false
    const header = type.bytes + length.bytes
    if (type.value !== DATAGRAM_CAPSULE || length.value > CONTEXT_BYTES + MAX_DATAGRAM_BYTES) {
      bytes.skip(header)
      this.#skip = length.value
      if (type.value === DATAGRAM_CAPSULE) this.#events.oversized()
      return true
    }
    if (bytes.length < header + length.value) return false
    bytes.skip(header)
    const body = bytes.take(length.value)
    if (body[0] === UDP_CONTEXT) this.#events.datagram(body.subarray(CONTEXT_BYTES))
    return true
  }
}

// RFC 9000 section 16. A length above the largest exact number can only be that of a capsule to skip.
function varintAt(bytes: ByteQueue, index: number): { readonly value: number; readonly bytes: number } | undefined {
  const first = bytes.at(index)
  if (first === undefined) return undefined
  const size = 1 << (first >> 6)
  let value = first & 0x3f
  for (let at = 1; at < size; at += 1) {
    const next = bytes.at(index + at)
    if (next === undefined) return undefined
    value = value * 256 + next
  }
  return { value, bytes: size }
}
