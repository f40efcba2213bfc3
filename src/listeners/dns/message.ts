import dnsPacket, { type Answer, type Question, type RecordClass, type RecordType } from 'dns-packet'
import { asciiOf, type DnsAnswer, type DnsQuestion, Rcode } from './answer.ts'

export type DecodedQuery =
  | { readonly kind: 'question'; readonly question: DnsQuestion }
  /** What can be answered at once, with these bytes. */
  | { readonly kind: 'refused'; readonly reply: Buffer }
  /** Nobody is to get an answer to it: an answer to an answer could go on for ever. */
  | { readonly kind: 'ignored' }

/** A query has one question, a name of 255 bytes and some options. */
export const MAX_QUERY_BYTES = 1_232
/** The size that fits every path: https://www.dnsflagday.net/2020/ */
export const MAX_PAYLOAD_BYTES = 1_232
const MIN_PAYLOAD_BYTES = 512
const HEADER_BYTES = 12
const MAX_ERROR_TEXT = 300
const EXTENDED_ERROR_OPTION = 15
const RESPONSE = 0x8000
const OPCODE_MASK = 0x7800
const AUTHORITATIVE = 0x0400
const TRUNCATED = 0x0200
const RECURSION_DESIRED = 0x0100
/** BADVERS is 16: this is what stands above its lower four bits. */
const BAD_VERSION_HIGH = 1
/** The root, or labels of printable characters, none of which has a dot at its end. */
const PLAIN = /^(?:\.|[\x21-\x2d\x2f-\x7e]+(?:\.[\x21-\x2d\x2f-\x7e]+)*)$/

/** Reads a query. Never throws. */
export function decodeQuery(bytes: Buffer): DecodedQuery {
  if (bytes.length < HEADER_BYTES) return { kind: 'ignored' }
  const id = bytes.readUInt16BE(0)
  const flags = bytes.readUInt16BE(2)
  if ((flags & RESPONSE) !== 0) return { kind: 'ignored' }
  if ((flags & OPCODE_MASK) !== 0) return { kind: 'refused', reply: bare(id, flags, Rcode.NotImplemented) }
  const isOneQuestion = bytes.readUInt16BE(4) === 1
  if (!isOneQuestion || bytes.length > MAX_QUERY_BYTES) {
    return { kind: 'refused', reply: bare(id, flags, Rcode.Malformed) }
  }
  try {
    const { questions = [], additionals = [] } = dnsPacket.decode(bytes)
    const [question] = questions
    const edns = additionals.find(record => record.type === 'OPT')
    // A name that is no text could not be repeated in the answer.
    if (question === undefined || !PLAIN.test(question.name)) throw new RangeError('no name')
    const isRecursionDesired = (flags & RECURSION_DESIRED) !== 0
    if (edns !== undefined && edns.ednsVersion !== 0) {
      const additionals = [optRecord(undefined, BAD_VERSION_HIGH)]
      const reply = encode({ id, flags: flags & RECURSION_DESIRED, rcode: 0, questions: [question], additionals })
      return { kind: 'refused', reply }
    }
    return {
      kind: 'question',
      question: {
        id,
        name: question.name,
        type: question.type,
        dnsClass: question.class ?? 'IN',
        isRecursionDesired,
        payloadBytes: edns?.udpPayloadSize
      }
    }
  } catch {
    return { kind: 'refused', reply: bare(id, flags, Rcode.Malformed) }
  }
}

/** An answer in at most `maxBytes`: one that is larger says only that it is truncated. */
export function encodeAnswer(question: DnsQuestion, answer: DnsAnswer, maxBytes: number): Buffer {
  const { rcode, answers = [], authorities = [], additionals = [], error } = answer
  const { id, name, payloadBytes } = question
  const isOurs = rcode === Rcode.NoError || rcode === Rcode.NoSuchName
  const flags = (isOurs ? AUTHORITATIVE : 0) | (question.isRecursionDesired ? RECURSION_DESIRED : 0)
  const asked = { name, type: question.type as RecordType, class: question.dnsClass as RecordClass }
  const opt = payloadBytes === undefined ? [] : [optRecord(error)]
  const common = { id, rcode, questions: [asked] }
  const whole = encode({
    ...common,
    flags,
    answers: [...answers],
    authorities: [...authorities],
    additionals: [...additionals, ...opt]
  })
  if (whole.length <= maxBytes) return whole
  return encode({ ...common, flags: flags | TRUNCATED, additionals: payloadBytes === undefined ? [] : [optRecord()] })
}

/** The largest answer that may be sent in a datagram. */
export function datagramLimit({ payloadBytes = MIN_PAYLOAD_BYTES }: DnsQuestion): number {
  return Math.min(MAX_PAYLOAD_BYTES, Math.max(MIN_PAYLOAD_BYTES, payloadBytes))
}

interface Packet {
  readonly id: number
  readonly flags: number
  readonly rcode: number
  readonly questions: Question[]
  readonly answers?: Answer[]
  readonly authorities?: Answer[]
  readonly additionals?: Answer[]
}

function encode({ flags, rcode, ...packet }: Packet): Buffer {
  return dnsPacket.encode({ ...packet, type: 'response', flags: flags | rcode })
}

function bare(id: number, flags: number, rcode: Rcode): Buffer {
  return encode({ id, flags: flags & RECURSION_DESIRED, rcode, questions: [] })
}

function optRecord(error?: DnsAnswer['error'], extendedRcode = 0): Answer {
  const data = error === undefined ? undefined : extendedError(error)
  return {
    type: 'OPT',
    name: '.',
    udpPayloadSize: MAX_PAYLOAD_BYTES,
    extendedRcode,
    ednsVersion: 0,
    flags: 0,
    flag_do: false,
    // The types of the library name no code of a later date than themselves.
    options: data === undefined ? [] : [{ code: EXTENDED_ERROR_OPTION as 12, data }]
  }
}

function extendedError({ code, text }: { readonly code: number; readonly text: string }): Buffer {
  const head = Buffer.alloc(2)
  head.writeUInt16BE(code)
  return Buffer.concat([head, Buffer.from(asciiOf(text).slice(0, MAX_ERROR_TEXT), 'latin1')])
}
