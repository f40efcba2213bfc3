import assert from 'node:assert/strict'
import { test } from 'node:test'
import dnsPacket, { type Question } from 'dns-packet'
import fc from 'fast-check'
import { datagramLimit, decodeQuery, encodeAnswer, MAX_QUERY_BYTES } from '../../src/listeners/dns/message.ts'
import { type DnsAnswer, type DnsQuestion, Rcode, txtStrings } from '../../src/listeners/index.ts'

const NAME = 'dev.db.main.default.warren'
const ASKED: DnsQuestion = {
  id: 7,
  name: NAME,
  type: 'A',
  dnsClass: 'IN',
  isRecursionDesired: true,
  payloadBytes: undefined
}

function query(question: Question, more: { flags?: number; ednsVersion?: number; size?: number } = {}): Buffer {
  const { flags = dnsPacket.RECURSION_DESIRED, ednsVersion = 0, size } = more
  const options = { extendedRcode: 0, ednsVersion, flags: 0, flag_do: false, options: [] }
  const opt = { type: 'OPT' as const, name: '.', udpPayloadSize: size ?? 0, ...options }
  const additionals = size === undefined ? [] : [opt]
  return dnsPacket.encode({ type: 'query', id: 7, flags, questions: [question], additionals })
}

/** The code in an answer. */
function codeOf(decoded: ReturnType<typeof decodeQuery>): string {
  assert.equal(decoded.kind, 'refused')
  return decoded.kind === 'refused' ? (dnsPacket.decode(decoded.reply) as unknown as { rcode: string }).rcode : ''
}

test('a query is read with its name as it was written, and its EDNS', () => {
  assert.deepEqual(decodeQuery(query({ type: 'A', name: NAME })), { kind: 'question', question: ASKED })
  const question = { ...ASKED, name: 'Dev.dB.x.Y.warren', type: 'UNKNOWN_65', payloadBytes: 4096 }
  const asked = query({ type: 'UNKNOWN_65' as 'A', name: question.name }, { size: 4096 })
  assert.deepEqual(decodeQuery(asked), { kind: 'question', question })
})

test('what is no query of one question is refused, and an answer gets none', () => {
  const good = query({ type: 'A', name: NAME })
  assert.equal(decodeQuery(dnsPacket.encode({ type: 'response', id: 7 })).kind, 'ignored')
  assert.equal(decodeQuery(Buffer.alloc(11)).kind, 'ignored')
  assert.equal(codeOf(decodeQuery(query({ type: 'A', name: NAME }, { flags: 5 << 11 }))), 'NOTIMP')
  assert.equal(codeOf(decodeQuery(dnsPacket.encode({ type: 'query', id: 7, questions: [] }))), 'FORMERR')
  const two = [
    { type: 'A' as const, name: NAME },
    { type: 'A' as const, name: NAME }
  ]
  assert.equal(codeOf(decodeQuery(dnsPacket.encode({ type: 'query', id: 7, questions: two }))), 'FORMERR')
  assert.equal(codeOf(decodeQuery(good.subarray(0, -3))), 'FORMERR')
  assert.equal(codeOf(decodeQuery(Buffer.concat([good, Buffer.alloc(MAX_QUERY_BYTES)]))), 'FORMERR')
  const unprintable = Buffer.from(good)
  unprintable[14] = 0xff
  assert.equal(codeOf(decodeQuery(unprintable)), 'FORMERR')
  const decoded = decodeQuery(query({ type: 'A', name: NAME }, { size: 1232, ednsVersion: 1 }))
  assert.equal(decoded.kind, 'refused')
  const [opt] = decoded.kind === 'refused' ? (dnsPacket.decode(decoded.reply).additionals ?? []) : []
  assert.equal(opt?.type === 'OPT' && opt.extendedRcode, 1)
})

test('whatever bytes come, there is an answer of no more bytes than they and a header have, or none', () => {
  const good = query({ type: 'TXT', name: NAME }, { size: 1232 })
  const changed = fc
    .array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 8 })
    .map(edits => edits.reduce((bytes, [at, value]) => Buffer.from(bytes.with(at, value)), Buffer.from(good)))
  const anything = fc.uint8Array({ maxLength: 2_000 }).map(bytes => Buffer.from(bytes))
  fc.assert(
    fc.property(fc.oneof(anything, changed), bytes => {
      const decoded = decodeQuery(bytes)
      if (decoded.kind === 'refused') assert.ok(decoded.reply.length <= Math.max(12, bytes.length))
      if (decoded.kind !== 'question') return
      const reply = encodeAnswer(decoded.question, { rcode: Rcode.Refused }, datagramLimit(decoded.question))
      assert.equal(dnsPacket.decode(reply).questions?.[0]?.name, decoded.question.name)
    }),
    { numRuns: 2_000 }
  )
})

test('an answer above the limit of its client says only that it is truncated', () => {
  const answers = Array.from({ length: 40 }, (_, port) => {
    return { type: 'SRV' as const, name: NAME, ttl: 5, data: { priority: 0, weight: 0, port, target: NAME } }
  })
  const answer: DnsAnswer = { rcode: Rcode.NoError, answers }
  const cut = dnsPacket.decode(encodeAnswer(ASKED, answer, datagramLimit(ASKED)))
  assert.deepEqual([cut.flag_tc, cut.answers?.length, cut.questions?.[0]?.name], [true, 0, NAME])
  const whole = dnsPacket.decode(encodeAnswer(ASKED, answer, 65_535))
  assert.deepEqual([whole.flag_tc, whole.answers?.length], [false, 40])
  assert.equal(datagramLimit({ ...ASKED, payloadBytes: 65_535 }), 1_232)
  assert.equal(datagramLimit({ ...ASKED, payloadBytes: 1 }), 512)
})

test('the reason for an answer goes to a client with EDNS, in printable characters', () => {
  const error = { code: 18, text: 'no\n\x1b rüle' }
  const whole = encodeAnswer({ ...ASKED, payloadBytes: 1_232 }, { rcode: Rcode.NoSuchName, error }, 1_232)
  const [opt] = dnsPacket.decode(whole).additionals ?? []
  assert.equal(opt?.type === 'OPT' && opt.options[0]?.data?.toString('latin1'), '\0\x12no?? r?le')
  assert.deepEqual(dnsPacket.decode(encodeAnswer(ASKED, { rcode: Rcode.NoSuchName, error }, 512)).additionals, [])
  assert.deepEqual(
    txtStrings('x'.repeat(600)).map(({ length }) => length),
    [255, 255, 90]
  )
})
