import assert from 'node:assert/strict'
import { test } from 'node:test'
import { coversDnsName, dnsName, dnsNamePattern, ErrorCode, WarrenError } from '../../src/core/index.ts'

const refuses = (read: () => string) =>
  assert.throws(read, (err: unknown) => WarrenError.is(err, ErrorCode.InvalidArgument))

test('a DNS name has one form: lower case, without a dot at its end', () => {
  assert.equal(dnsName('DB.Example.NET.'), 'db.example.net')
  assert.equal(dnsName('localhost'), 'localhost')
  assert.equal(dnsNamePattern('*.Example.net'), '*.example.net')
})

test('what is no DNS name is refused: addresses, wildcards, control characters, names that are too long', () => {
  const wrong = [
    '',
    '.',
    'a..b',
    '-a',
    'a-',
    'a_b',
    'a b',
    'a\0.b',
    '10.0.0.1',
    '::1',
    'ä.example',
    'a,b',
    'a/b',
    'x'.repeat(64)
  ]
  for (const text of [...wrong, '*.a.b', 'a.'.repeat(128), Array(65).fill('abc').join('.')])
    refuses(() => dnsName(text))
  for (const text of [...wrong, '*', '*.', '*.*.a', 'a.*.b', '*a.b']) refuses(() => dnsNamePattern(text))
})

test('a wildcard covers one label, and never more or none', () => {
  assert.ok(coversDnsName('*.example.net', 'db.example.net'))
  assert.ok(coversDnsName('db.example.net', 'db.example.net'))
  for (const name of ['example.net', 'a.db.example.net', 'db.example.org', 'dbexample.net']) {
    assert.ok(!coversDnsName('*.example.net', name), name)
  }
  assert.ok(!coversDnsName('*.net', 'net'))
})
