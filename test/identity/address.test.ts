import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import {
  addressOfSpiffeId,
  formatAddress,
  matches,
  parseAddress,
  parseLocalName,
  parsePattern,
  spiffeIdOf
} from '../../src/identity/index.ts'

const component = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/)
const address = fc
  .record({
    scope: component.filter(scope => scope !== 'warren'),
    appGroup: component,
    appIdentity: component,
    resourceGroup: component,
    machine: component
  })
  .map(parts => ({ ...parts }))
const refused = (err: Error & { code?: string; hint?: string }) =>
  err.code === 'INVALID_ARGUMENT' && err.hint !== undefined

test('an address survives its way as text and as SPIFFE ID', () => {
  fc.assert(
    fc.property(address, one => {
      assert.deepEqual({ ...parseAddress(formatAddress(one)) }, one)
      assert.deepEqual({ ...addressOfSpiffeId('example.org', spiffeIdOf('example.org', one)) }, one)
    })
  )
})

test('whatever is typed, an address is parsed or refused with a hint', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 400 }), text => {
      for (const parse of [parseAddress, parsePattern, (name: string) => parseLocalName(name, 'a')]) {
        try {
          parse(text)
        } catch (err) {
          assert.ok(refused(err as Error))
        }
      }
    })
  )
})

test('nobody registers for another machine', () => {
  assert.equal(formatAddress(parseLocalName('dev.web.nginx.default', 'a')), 'dev.web.nginx.default.a')
  assert.equal(formatAddress(parseLocalName('dev.web.nginx.default.a', 'a')), 'dev.web.nginx.default.a')
  assert.throws(() => parseLocalName('dev.web.nginx.default.b', 'a'), refused)
  assert.throws(() => parseLocalName('warren.web.nginx.default', 'a'), refused)
})

test('a malformed address is refused', () => {
  for (const text of [
    '',
    'a',
    'a.b.c.d',
    'a.b.c.d.e.f',
    'a..c.d.e',
    '-a.b.c.d.e',
    'a.b.c.d.é',
    'a.b.c.d.e\n',
    'a b.b.c.d.e'
  ]) {
    assert.throws(() => parseAddress(text), refused, text)
  }
  assert.throws(() => parseAddress(`${'x'.repeat(64)}.b.c.d.e`), refused)
})

test('a pattern of its own components matches an address, and so does each wildcard and list in it', () => {
  fc.assert(
    fc.property(address, fc.nat(4), component, (one, at, other) => {
      const parts = formatAddress(one).split('.')
      const own = parts[at] ?? ''
      const withPart = (part: string) => parsePattern(parts.map((p, i) => (i === at ? part : p)).join('.'))
      assert.ok(matches(withPart(own), one))
      assert.ok(matches(withPart('*'), one))
      assert.ok(matches(withPart(`{${other === 'warren' ? 'x' : other},${own}}`), one))
      if (other !== own && other !== 'warren') assert.equal(matches(withPart(other), one), false)
      assert.ok(matches(parsePattern(parts.slice(0, 4).join('.')), one), 'four components mean any machine')
    })
  )
})

test('a pattern has no partial wildcards, empty lists or nested lists', () => {
  for (const part of ['web*', '**', '{}', '{a,}', '{a,{b}}', '{a', 'a}', '{*}', '[ab]', '']) {
    assert.throws(() => parsePattern(`dev.${part}.nginx.default`), refused, part)
  }
})
