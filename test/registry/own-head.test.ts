import assert from 'node:assert/strict'
import test from 'node:test'
import { WarrenError } from '../../src/core/index.ts'
import { MAX_JWT_KEYS } from '../../src/registry/head.ts'
import { DEFAULT_LIMITS, type Profile, self } from '../../src/registry/index.ts'
import { chainOf, mesh, Node, recordOf, Time, verdictOf } from './world.ts'

const { maxAddresses, maxAddressLength, maxCapabilities, maxChain, maxCertificateBytes } = DEFAULT_LIMITS
const addresses = (count: number, length = 20): string[] =>
  Array.from({ length: count }, (_, at) => `${'x'.repeat(length - 3)}${String(at).padStart(3, '0')}`)
const keys = (count: number, bytes: number): string[] =>
  Array.from({ length: count }, (_, at) => Buffer.alloc(bytes, at).toString('base64'))

interface Case {
  readonly what: string
  readonly most: (node: Node) => Partial<Profile>
  readonly tooMuch: (node: Node) => Partial<Profile>
}

const CASES: readonly Case[] = [
  {
    what: 'mesh addresses',
    most: () => ({ meshAddresses: addresses(maxAddresses) }),
    tooMuch: () => ({ meshAddresses: addresses(maxAddresses + 1) })
  },
  {
    what: 'data addresses',
    most: () => ({ dataAddresses: addresses(maxAddresses) }),
    tooMuch: () => ({ dataAddresses: addresses(maxAddresses + 1) })
  },
  {
    what: 'the length of an address',
    most: () => ({
      meshAddresses: addresses(maxAddresses, maxAddressLength),
      dataAddresses: addresses(maxAddresses, maxAddressLength)
    }),
    tooMuch: () => ({ dataAddresses: addresses(1, maxAddressLength + 1) })
  },
  {
    what: 'the characters of an address',
    most: () => ({ dataAddresses: ['!~[]{}'] }),
    tooMuch: () => ({ dataAddresses: ['192.0.2.1:7461\u001b[2J'] })
  },
  {
    what: 'the characters of a mesh address',
    most: () => ({ meshAddresses: ['/dns/host/tcp/1'] }),
    tooMuch: () => ({ meshAddresses: ['/dns/two words/tcp/1'] })
  },
  { what: 'an empty address', most: () => ({ dataAddresses: [] }), tooMuch: () => ({ dataAddresses: [''] }) },
  {
    what: 'capabilities',
    most: () => ({ capabilities: addresses(maxCapabilities, 64) }),
    tooMuch: () => ({ capabilities: addresses(maxCapabilities + 1) })
  },
  {
    what: 'the length of a capability',
    most: () => ({ capabilities: ['c'.repeat(64)] }),
    tooMuch: () => ({ capabilities: ['c'.repeat(65)] })
  },
  {
    what: 'JWT keys',
    most: () => ({ jwtKeys: keys(MAX_JWT_KEYS, 128) }),
    tooMuch: () => ({ jwtKeys: keys(MAX_JWT_KEYS + 1, 91) })
  },
  {
    what: 'the size of a JWT key',
    most: () => ({ jwtKeys: keys(1, 128) }),
    tooMuch: () => ({ jwtKeys: keys(1, 129) })
  },
  {
    what: 'the certificate chain',
    most: ({ identity }) => ({
      nodeChain: [...chainOf(identity), ...Array<Uint8Array>(maxChain - 1).fill(Buffer.alloc(9))]
    }),
    tooMuch: ({ identity }) => ({
      nodeChain: [...chainOf(identity), ...Array<Uint8Array>(maxChain).fill(Buffer.alloc(9))]
    })
  },
  {
    what: 'the size of a certificate',
    most: ({ identity }) => ({ nodeChain: [...chainOf(identity), Buffer.alloc(maxCertificateBytes)] }),
    tooMuch: ({ identity }) => ({ nodeChain: [...chainOf(identity), Buffer.alloc(maxCertificateBytes + 1)] })
  },
  {
    what: 'the policy version',
    most: () => ({ policyVersion: 2n ** 64n - 1n }),
    tooMuch: () => ({ policyVersion: 2n ** 64n })
  },
  {
    what: 'everything at once',
    most: ({ identity }) => ({
      meshAddresses: addresses(maxAddresses, maxAddressLength),
      dataAddresses: addresses(maxAddresses, maxAddressLength),
      capabilities: addresses(maxCapabilities, 64),
      jwtKeys: keys(MAX_JWT_KEYS, 128),
      nodeChain: [...chainOf(identity), Buffer.alloc(maxCertificateBytes)]
    }),
    tooMuch: () => ({ meshAddresses: addresses(40), dataAddresses: addresses(40) })
  }
]

for (const { what, most, tooMuch } of CASES) {
  test(`what a host says of itself is taken by others up to its maximum, and beyond it never signed: ${what}`, () => {
    const time = new Time()
    const [a, b] = mesh(time, 'a', 'b') as [Node, Node]
    const { seq } = self(a.state)
    const before = a.state.entries.get(a.peer)
    const sent = a.sent.length
    assert.throws(
      () => a.step({ type: 'local-head', profile: { ...a.profile, ...tooMuch(a) } }),
      (err: unknown) => err instanceof WarrenError && /^(INVALID_ARGUMENT|LIMIT_EXCEEDED)$/.test(err.code)
    )
    // What was said before stays said, and goes on being said.
    assert.equal(self(a.state).seq, seq)
    assert.equal(a.state.entries.get(a.peer), before)
    assert.equal(a.sent.length, sent)
    a.step({ type: 'refresh' })
    assert.notEqual(verdictOf(b.hear(a.sent.at(-1), a)), 'reject')
    assert.equal(b.state.entries.get(a.peer)?.sealed.head.seq, seq + 1n)

    a.announce(most(a))
    assert.notEqual(verdictOf(b.hear(a.sent.at(-1), a)), 'reject')
    b.pull(a)
    const held = b.state.entries.get(a.peer)?.sealed.head
    const { nodeChain: _, ...said } = a.profile
    assert.deepEqual({ ...held, ...said }, held)
    // A host that comes later takes it as well.
    const c = new Node('c', time)
    c.pull(a)
    assert.equal(c.state.entries.get(a.peer)?.sealed.digest, a.state.entries.get(a.peer)?.sealed.digest)
  })
}

test('a first word that others would refuse is not said, and the next one is the first', () => {
  const time = new Time()
  const a = new Node('a', time, { publishes: false })
  a.put('web')
  const tooMuch = { ...a.profile, dataAddresses: addresses(17) }
  assert.throws(() => a.step({ type: 'local-head', profile: tooMuch }), WarrenError)
  assert.equal(a.sent.length, 0)
  a.announce({})
  const b = new Node('b', time)
  b.pull(a)
  assert.deepEqual(b.sees(a), ['web'])
  assert.equal(self(a.state).seq, 1n)
})

test('a record that others would refuse takes nothing back of what was registered', () => {
  const time = new Time()
  const [a, b] = mesh(time, 'a', 'b') as [Node, Node]
  a.put('web')
  for (const more of [
    { labels: { a: '\ud800' } },
    { ttlMs: 2 ** 32 },
    { ttlMs: -1 },
    { registeredAtMs: -1 },
    { labels: { '': 'x' } },
    { ports: [0] },
    { ports: [65_536] },
    { ports: Array.from({ length: 17 }, (_, index) => index + 1) }
  ]) {
    const put = () => a.step({ type: 'local-change', puts: [recordOf('a', 'api', more)], deletes: [] })
    try {
      put()
    } catch (err) {
      assert.ok(err instanceof WarrenError && err.code === 'INVALID_ARGUMENT', String(err))
    }
    b.pull(a)
    assert.ok(b.sees(a).includes('web'), JSON.stringify(more))
    assert.deepEqual(a.sees(a), b.sees(a))
    a.delete('api')
  }
})
