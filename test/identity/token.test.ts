import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import test from 'node:test'
import { inspect } from 'node:util'
import { encodeJoinToken, type JoinToken, parseJoinToken, SessionTokens } from '../../src/identity/index.ts'
import { NOW_MS } from './domain.ts'

const token: JoinToken = {
  trustDomain: 'example.org',
  rootSha256: 'ab'.repeat(32),
  authorityAddresses: ['192.0.2.1:7461', '[2001:db8::1]:7461'],
  authorityMachine: 'a',
  machine: 'b',
  id: 'cd'.repeat(16),
  secret: randomBytes(32),
  expiresAtMs: NOW_MS + 3_600_000,
  scopes: ['dev']
}
const refused = (reason: RegExp) => (err: Error & { code?: string; reason?: string }) =>
  err.code === 'TOKEN_REFUSED' && reason.test(err.reason ?? '')

test('a token survives its way as text, also with blanks around it', () => {
  const parsed = parseJoinToken(`  ${encodeJoinToken(token)}\n`, NOW_MS)
  assert.deepEqual({ ...parsed, secret: Buffer.from(parsed.secret) }, token)
  const scopes = Array.from({ length: 64 }, (_, at) => `s${at}`.padEnd(63, 'x'))
  assert.deepEqual(parseJoinToken(encodeJoinToken({ ...token, scopes }), NOW_MS).scopes, scopes)
})

test('a token with any one character changed or missing is refused as damaged', () => {
  const text = encodeJoinToken(token)
  for (let at = 'warren1.'.length; at < text.length; at += 1) {
    const changed = text.slice(0, at) + (text[at] === 'A' ? 'B' : 'A') + text.slice(at + 1)
    // The last character carries spare bits, and may differ without a difference in the bytes.
    if (at < text.length - 1) assert.throws(() => parseJoinToken(changed, NOW_MS), refused(/damaged/), `at ${at}`)
    assert.throws(() => parseJoinToken(text.slice(0, at), NOW_MS), refused(/damaged/))
  }
})

test('a token says of itself when it is none, or has expired', () => {
  assert.throws(() => parseJoinToken('hello', NOW_MS), refused(/not a join token/))
  assert.throws(() => parseJoinToken('', NOW_MS), refused(/not a join token/))
  assert.throws(() => parseJoinToken(`warren1.${'A'.repeat(20_000)}`, NOW_MS), refused(/not a join token/))
  assert.throws(() => parseJoinToken(encodeJoinToken(token), token.expiresAtMs), refused(/expired at 2026/))
  assert.throws(() => parseJoinToken(encodeJoinToken({ ...token, expiresAtMs: 0 }), NOW_MS), refused(/expired at 1970/))
})

test('a token that no authority makes is refused', () => {
  for (const change of [
    { trustDomain: 'Not A Domain' },
    { machine: 'a.b' },
    { authorityMachine: '' },
    { scopes: ['warren'] },
    { scopes: ['a b'] },
    { scopes: Array(65).fill('dev') },
    { authorityAddresses: [] },
    { authorityAddresses: Array(17).fill('192.0.2.1:1') },
    { secret: new Uint8Array(31) },
    { id: 'cd' },
    { expiresAtMs: Number.MAX_SAFE_INTEGER }
  ]) {
    assert.throws(() => parseJoinToken(encodeJoinToken({ ...token, ...change }), NOW_MS), refused(/damaged/))
  }
})

test('no error about a token shows its secret', () => {
  const text = encodeJoinToken(token)
  const secrets = [Buffer.from(token.secret).toString('base64url').slice(4, 24), text.slice(60, 90)]
  for (const bad of [`${text}x`, text.slice(0, -3), encodeJoinToken({ ...token, expiresAtMs: 0 })]) {
    try {
      parseJoinToken(bad, NOW_MS)
      assert.fail('it was accepted')
    } catch (err) {
      const shown = inspect(err, { depth: 9 })
      for (const secret of secrets) assert.equal(shown.includes(secret), false)
    }
  }
})

test('a session token tells nothing, is never the same twice, looks like no option, and is known by its hash', () => {
  const document = {
    spiffeId: 'spiffe://example.org/dev/web/nginx/default/a',
    application: '',
    scope: 'dev',
    pid: 1,
    uid: 2,
    registeredAtMs: 3,
    machine: 'a',
    whitelist: []
  }
  const tokens = new SessionTokens(randomBytes(32))
  const issued = Array.from({ length: 500 }, () => tokens.issue(document))
  assert.equal(new Set(issued.map(({ token: text }) => text)).size, 500)
  for (const { token: text, tokenHash } of issued) {
    assert.match(text, /^w[\w-]{43}$/)
    assert.equal(tokens.hash(text), tokenHash)
    assert.equal(tokenHash.includes(text), false)
  }
  const [{ token: text, tokenHash } = { token: '', tokenHash: '' }] = issued
  assert.notEqual(new SessionTokens(randomBytes(32)).hash(text), tokenHash)
  assert.throws(() => new SessionTokens(randomBytes(16)), RangeError)
})
