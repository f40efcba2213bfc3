import assert from 'node:assert/strict'
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { exportJWK, type JWTHeaderParameters, type JWTPayload, SignJWT } from 'jose'
import type { JoinOptions } from '../../src/identity/index.ts'
import { type Scope, scopeOf, TestAgent, waitFor } from '../harness/index.ts'
import { askToJoin, newKeys, outcomeOf } from './support/joining-host.ts'

const ISSUER = 'https://ci.example.com'
const AUDIENCE = 'warren'

interface Made {
  readonly claims?: JWTPayload
  readonly header?: Partial<JWTHeaderParameters>
  readonly key?: KeyObject | Uint8Array
  readonly audience?: string
  readonly issuer?: string
  readonly sinceS?: number
  readonly forS?: number
}

async function setUp(scope: Scope, ...options: string[]) {
  const a = await new TestAgent(scope, { name: 'a', args: [] }).start(['--init', 'example.org'])
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2_048 })
  const jwk = { ...(await exportJWK(publicKey)), kid: 'k1', alg: 'RS256', use: 'sig' }
  const directory = scope.directory()
  const file = join(directory, 'jwks.json')
  writeFileSync(file, JSON.stringify({ keys: [jwk] }))
  const trust = ['authority', 'trust-oidc', ISSUER, '--audience', AUDIENCE, '--jwks', `@${file}`, '--name-from', 'run']
  const id = (await a.cli(...trust, '--name', 'ci-*', '--require', 'repository=acme/*', ...options)).trim()
  const invitation = (await a.cli('authority', 'invite')).trim()
  const token = async (made: Made = {}): Promise<string> => {
    const nowS = Math.floor(Date.now() / 1_000) + (made.sinceS ?? 0)
    return await new SignJWT({ run: 7, repository: 'acme/app', team: 'team-dev', ...made.claims })
      .setProtectedHeader({ alg: 'RS256', kid: 'k1', ...made.header })
      .setIssuer(made.issuer ?? ISSUER)
      .setAudience(made.audience ?? AUDIENCE)
      .setIssuedAt(nowS)
      .setExpirationTime(nowS + (made.forS ?? 300))
      .sign(made.key ?? privateKey)
  }
  const ask = (text: string, keys = newKeys(), more: Partial<JoinOptions> = {}): Promise<string> => {
    const proof = { method: 'oidc', token: text } as const
    const unnamed = { name: undefined, machine: 'unnamed' } as unknown as Partial<JoinOptions>
    return outcomeOf(askToJoin(invitation, '', { ...unnamed, ...keys, proof, ...more }))
  }
  return { a, directory, invitation, token, ask, id, publicKey }
}

test('a host joins by an OIDC token in a file, under the name and for the scope that its claims give', async t => {
  const scope = scopeOf(t)
  const { a, directory, invitation, token } = await setUp(scope, '--scope-from', 'team=team-*', '--ephemeral')
  const file = join(directory, 'token')
  writeFileSync(file, `${await token()}\n`)
  const b = await new TestAgent(scope, { name: 'ci-7', args: ['--join', invitation, '--join-with-oidc', file] }).start()
  await b.sees(1)
  assert.match((await b.attempt(['serve', 'prod.x.y.z'])).stderr, /scope/)
  assert.match(await a.cli('authority', 'trusts'), /oidc +https:\/\/ci\.example\.com +run=\* +ci-\*/)
  await a.program.says(/"machine":"ci-7".*"method":"oidc"/, 'stderr')
})

test('an OIDC token of another audience or issuer, without a signature, with another key or out of date admits nobody', async t => {
  const scope = scopeOf(t)
  const { ask, token, publicKey } = await setUp(scope)
  const other = generateKeyPairSync('rsa', { modulusLength: 2_048 }).privateKey
  const [, payload = ''] = (await token()).split('.')
  const none = `${Buffer.from('{"alg":"none"}').toString('base64url')}.${payload}.`
  // The public key of the issuer taken for a secret that two share.
  const secret = new TextEncoder().encode(publicKey.export({ format: 'pem', type: 'spki' }).toString())
  const confused = await token({ header: { alg: 'HS256' }, key: secret })
  for (const [what, text, reason] of [
    ['another audience', await token({ audience: 'other' }), /claim aud/],
    ['another issuer', await token({ issuer: 'https://evil.example.com' }), /its issuer is not trusted/],
    ['no algorithm', none, /algorithm is not accepted/],
    ['a shared secret', confused, /algorithm is not accepted/],
    ['another key', await token({ key: other }), /signature is not valid/],
    ['expired', await token({ sinceS: -600, forS: 60 }), /it has expired/],
    ['of tomorrow', await token({ sinceS: 3_600 }), /claim iat/],
    ['too old, whatever its end is', await token({ sinceS: -90_000, forS: 900_000 }), /expired|claim iat/],
    ['another repository', await token({ claims: { repository: 'evil/app' } }), /its claim repository does not match/]
  ] as const) {
    const outcome = await ask(text)
    assert.match(outcome, /^TOKEN_REFUSED/, what)
    assert.match(outcome, reason, what)
  }
})

test('an OIDC token counts for the keys that used it first, and for no others', async t => {
  const scope = scopeOf(t)
  const { a, ask, token, id } = await setUp(scope, '--ephemeral')
  const text = await token()
  const keys = newKeys()
  const outcomes = await Promise.all([ask(text, keys), ask(text), ask(text)])
  assert.equal(outcomes.filter(outcome => outcome === 'ci-7').length, 1)
  const winner = outcomes.indexOf('ci-7') === 0
  if (winner) assert.equal(await ask(text, keys), 'ci-7')
  assert.match(await ask(text), /^TOKEN_REFUSED: the OIDC token was already used/)
  // The end of the text is no other token.
  assert.match(await ask(`${text}x`), /^TOKEN_REFUSED/)
  assert.match(await ask(await token({ claims: { run: 'a.b' } })), /gives the name "ci-a\.b", which is no machine name/)
  assert.match(await ask(await token({ claims: { run: { x: 1 } } })), /no run in it matches/)
  await a.cli('authority', 'distrust', id)
  assert.match(await ask(await token({ claims: { run: 8 } })), /its issuer is not trusted/)
})

test('a host with an OIDC token waits for approval longer than its token lives', async t => {
  const scope = scopeOf(t)
  const { a, ask, token } = await setUp(scope, '--needs-approval')
  const waiting = Promise.withResolvers<void>()
  // The tolerance for clocks is 30 s.
  const text = await token({ sinceS: -31, forS: 3 })
  const outcome = ask(text, newKeys(), { onWaiting: () => waiting.resolve() })
  await waiting.promise
  await waitFor(() => Date.now() / 1_000 > Number(expiryOf(text)) + 30, 'the token to expire')
  await a.cli('admit', 'ci-7')
  assert.equal(await outcome, 'ci-7')
})

function expiryOf(text: string): unknown {
  return (JSON.parse(Buffer.from(text.split('.')[1] ?? '', 'base64url').toString()) as { exp: number }).exp
}
