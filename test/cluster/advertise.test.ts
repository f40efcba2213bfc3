import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { resolveConfig } from '../../src/agent/config.ts'
import { parseAdvertise } from '../../src/cluster/addresses/advertise.ts'
import { formatHostPort } from '../../src/core/index.ts'
import { generatePeerKeyPair, peerKeyOf, rawPublicKey } from '../../src/identity/index.ts'
import { parsePeerAddress } from '../../src/mesh/dialing/addresses.ts'
import { DEFAULT_LIMITS } from '../../src/registry/index.ts'

const PEER = peerKeyOf(rawPublicKey(generatePeerKeyPair()))
const refused = (reason: RegExp) => (err: Error & { code?: string; reason?: string; hint?: string }) =>
  err.code === 'INVALID_ARGUMENT' && reason.test(err.reason ?? '') && (err.hint ?? '') !== ''

test('names and addresses are taken, each in one text', () => {
  const given = [
    '192.0.2.7',
    '[FD00:0::7]',
    'fd00::8',
    'Host.Example.ORG',
    'db_1',
    'xn--bcher-kva.example',
    '127.0.0.1'
  ]
  const wanted = ['192.0.2.7', 'fd00::7', 'fd00::8', 'host.example.org', 'db_1', 'xn--bcher-kva.example', '127.0.0.1']
  assert.deepEqual(parseAdvertise(given), wanted)
  assert.deepEqual(resolveConfig({ advertise: given }).advertise, wanted)
  assert.equal(resolveConfig({}).advertise, undefined)
})

for (const [text, reason] of [
  ['192.0.2.7:7460', /has a port/],
  ['[fd00::7]:7460', /has a port/],
  ['host.example.org:7460', /has a port/],
  ['two words', /is not a host/],
  ['', /is not a host/],
  ['fe80::1%eth0', /has a zone/],
  ['fe80::1', /is not usable without an interface/],
  ['0.0.0.0', /is not an address of a host/],
  ['[::]', /is not an address of a host/],
  ['239.1.2.3', /is a multicast address/],
  ['ff02::1', /is a multicast address/],
  ['255.255.255.255', /is reserved/],
  ['::ffff:192.0.2.7', /is an IPv4 address written as an IPv6 one/],
  ['256.1.1.1', /is not a host/],
  ['1.2.3', /is not a host/],
  ['-host', /is not a host/],
  ['a..b', /is not a host/],
  ['a'.repeat(64), /is not a host/],
  [`${'a.'.repeat(92)}a`, /is not a host/],
  ['/ip4/192.0.2.7/tcp/7460', /is not a host/],
  ['http://192.0.2.7', /is not a host/],
  ['host\n', /is not a host/]
] as const) {
  test(`--advertise ${JSON.stringify(text.slice(0, 30))} is refused before anything is touched, with what to do`, () => {
    assert.throws(() => resolveConfig({ advertise: ['192.0.2.1', text] }), refused(reason))
  })
}

test('a host that is given twice, in whatever text, and more hosts than others take are refused', () => {
  assert.throws(() => parseAdvertise(['fd00::7', 'h', '[fd00:0:0::7]']), refused(/given twice/))
  assert.throws(() => parseAdvertise(['Host', 'host']), refused(/given twice/))
  const many = Array.from({ length: DEFAULT_LIMITS.maxAddresses + 1 }, (_, at) => `192.0.2.${at + 1}`)
  assert.equal(parseAdvertise(many.slice(1)).length, DEFAULT_LIMITS.maxAddresses)
  assert.throws(() => parseAdvertise(many), refused(/given 17 times/))
})

test('whatever is taken makes addresses that others can read', () => {
  const texts = fc.oneof(fc.domain(), fc.ipV4(), fc.ipV6(), fc.string(), fc.stringMatching(/^[a-z0-9_.-]{1,300}$/))
  fc.assert(
    fc.property(texts, text => {
      let host: string
      try {
        host = parseAdvertise([text])[0]!
      } catch (err) {
        assert.ok(refused(/./)(err as Error))
        return
      }
      const kind = /^[\d.]+$/.test(host) ? 'ip4' : host.includes(':') ? 'ip6' : 'dns'
      const { maxAddressLength } = DEFAULT_LIMITS
      const data = formatHostPort({ host, port: 65_535 })
      assert.ok(data.length <= maxAddressLength && /^[\x21-\x7e]+$/.test(data))
      const mesh = `/${kind}/${host}/tcp/65535/p2p/${PEER}`
      assert.ok(mesh.length <= maxAddressLength)
      assert.equal(parsePeerAddress(mesh).peer, PEER)
    }),
    { numRuns: 500 }
  )
})
