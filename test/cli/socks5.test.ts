import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import {
  type Decoded,
  decodeGreeting,
  decodeRequest,
  decodeSocksDatagram,
  encodeChoice,
  encodeReply,
  encodeSocksDatagram,
  MAX_FRAME_BYTES,
  SocksReply
} from '../../src/listeners/index.ts'

const anyBytes = fc.uint8Array({ maxLength: MAX_FRAME_BYTES + 40 })
const decoders = [decodeGreeting, decodeRequest]
/** Starts as a frame does, so that chance gets beyond the first byte. */
const likely = fc
  .tuple(
    fc.constantFrom(5, 4),
    fc.constantFrom(0, 1, 2, 3, 255),
    fc.constantFrom(0, 1),
    fc.constantFrom(0, 1, 3, 4, 5),
    anyBytes
  )
  .map(([version, command, reserved, type, rest]) => Uint8Array.from([version, command, reserved, type, ...rest]))

function request(host: readonly number[], type: number, port = 443, command = 1): Uint8Array {
  return Uint8Array.from([5, command, 0, type, ...host, port >> 8, port & 255])
}

test('a greeting is accepted if it offers to come without authentication', () => {
  assert.deepEqual(decodeGreeting(Uint8Array.of(5, 1, 0)), { kind: 'done', value: true, bytes: 3 })
  assert.deepEqual(decodeGreeting(Uint8Array.of(5, 2, 2, 0, 9)), { kind: 'done', value: true, bytes: 4 })
  assert.deepEqual(decodeGreeting(Uint8Array.of(5, 1, 2)), { kind: 'done', value: false, bytes: 3 })
  assert.deepEqual([...encodeChoice(true), ...encodeChoice(false)], [5, 0, 5, 255])
})

test('requests name a host by name or address, and what follows is not theirs', () => {
  const name = Buffer.from('dev.web.site.default.warren')
  assert.deepEqual(decodeRequest(Buffer.concat([request([name.length, ...name], 3, 8080), Buffer.from('GET /')])), {
    kind: 'done',
    bytes: 4 + 1 + name.length + 2,
    value: { command: 'connect', host: { kind: 'name', text: String(name) }, port: 8080 }
  })
  const commands = [1, 2, 3, 9].map(command => decodeRequest(request([10, 0, 0, 7], 1, 80, command)))
  assert.deepEqual(
    commands.map(one => one.kind === 'done' && [one.value.command, one.value.host.text]),
    ['connect', 'bind', 'udp-associate', 'unknown'].map(command => [command, '10.0.0.7'])
  )
  const ipv6 = decodeRequest(
    request(
      Array.from({ length: 16 }, () => 0xab),
      4
    )
  )
  assert.ok(ipv6.kind === 'done' && ipv6.value.host.kind === 'address' && ipv6.bytes === 22)
})

test('what is none of the frames of version 5 is refused at its first wrong byte', () => {
  const kinds = (all: readonly Decoded<unknown>[]) => all.map(({ kind }) => kind)
  const greetings = [[4], [0x47], [5, 0]].map(bytes => decodeGreeting(Uint8Array.from(bytes)))
  assert.deepEqual(kinds(greetings), ['malformed', 'malformed', 'malformed'])
  const requests = [[4], [5, 1, 1], [5, 1, 0, 2, 1], [5, 1, 0, 3, 0]].map(bytes =>
    decodeRequest(Uint8Array.from(bytes))
  )
  assert.deepEqual(kinds(requests), ['malformed', 'malformed', 'malformed', 'malformed'])
})

test('a reply has the code and an address that is none', () => {
  assert.deepEqual([...encodeReply(SocksReply.NotAllowed)], [5, 2, 0, 1, 0, 0, 0, 0, 0, 0])
})

test('whatever the bytes are, a decoder answers, wants a bounded number more, and never a byte behind the frame', () => {
  fc.assert(
    fc.property(fc.oneof(anyBytes, likely), bytes => {
      for (const decode of decoders) {
        const decoded = decode(bytes)
        if (decoded.kind === 'more') {
          assert.ok(decoded.bytes > bytes.length && decoded.bytes <= MAX_FRAME_BYTES)
        } else if (decoded.kind === 'done') {
          assert.ok(decoded.bytes <= Math.min(bytes.length, MAX_FRAME_BYTES))
          assert.deepEqual(decode(bytes.subarray(0, decoded.bytes)), decoded)
        }
      }
    }),
    { numRuns: 5_000 }
  )
})

test('a frame that arrives in whatever pieces is the same frame', () => {
  fc.assert(
    fc.property(fc.oneof(anyBytes, likely), bytes => {
      for (const decode of decoders) {
        // As a reader does: no more bytes than were asked for.
        let have = 0
        let decoded: Decoded<unknown> = decode(new Uint8Array())
        while (decoded.kind === 'more' && decoded.bytes <= bytes.length) {
          assert.ok(decoded.bytes > have)
          have = decoded.bytes
          decoded = decode(bytes.subarray(0, have))
        }
        const whole = decode(bytes)
        if (whole.kind === 'malformed') assert.notEqual(decoded.kind, 'done')
        else assert.deepEqual(decoded, whole)
      }
    }),
    { numRuns: 5_000 }
  )
})

test('a datagram comes back as it was encoded, and the answer to a request says where it is sent', () => {
  fc.assert(
    fc.property(
      fc.string({ minLength: 1, maxLength: 255, unit: 'grapheme-ascii' }),
      fc.nat(65_535),
      anyBytes,
      (name, port, bytes) => {
        const decoded = decodeSocksDatagram(encodeSocksDatagram(name, port, bytes))
        assert.deepEqual(decoded, { kind: 'datagram', name, port, payload: Buffer.from(bytes) })
      }
    )
  )
  assert.deepEqual(
    [...encodeReply(SocksReply.Succeeded, { host: '127.0.0.3', port: 770 })],
    [5, 0, 0, 1, 127, 0, 0, 3, 3, 2]
  )
  const six = encodeReply(SocksReply.Succeeded, { host: '::1', port: 770 })
  assert.deepEqual([six.length, six[3], six[19], six.readUInt16BE(20)], [22, 4, 1, 770])
})

test('a fragment, an address and anything else is dropped, and nothing throws', () => {
  const whole = encodeSocksDatagram('dev.web.site.default.warren', 53, Buffer.from('hello'))
  const why = (bytes: Buffer): string => {
    const decoded = decodeSocksDatagram(bytes)
    return decoded.kind === 'dropped' ? decoded.why : 'taken'
  }
  const fragment = Buffer.from(whole)
  fragment[2] = 1
  assert.match(why(fragment), /fragment/)
  assert.match(why(Buffer.from([0, 0, 0, 1, 10, 0, 0, 7, 0, 53, 1])), /address/)
  for (let size = 0; size < whole.length - 5; size += 1) assert.match(why(whole.subarray(0, size)), /no header/)
  assert.equal(why(whole.subarray(0, whole.length - 5)), 'taken')
  fc.assert(fc.property(anyBytes, bytes => void why(Buffer.from(bytes))))
})
