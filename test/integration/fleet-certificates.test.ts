import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import type { JoinOptions } from '../../src/identity/index.ts'
import { type Scope, scopeOf, TestAgent, warren } from '../harness/index.ts'
import { type Foreign, type ForeignOptions, foreign } from '../identity/foreign-ca.ts'
import { askToJoin, outcomeOf } from './support/joining-host.ts'

async function setUp(scope: Scope, ...terms: string[]) {
  const a = await new TestAgent(scope, { name: 'a', args: [] }).start(['--init', 'example.org'])
  const directory = scope.directory()
  const ca = await foreign({ subject: 'CN=Example CA', ca: true })
  const file = join(directory, 'ca.pem')
  writeFileSync(file, ca.pem)
  const trusted = await a.cli('authority', 'trust-ca', file, ...(terms.length === 0 ? ['--name-from', 'cn'] : terms))
  const invitation = (await a.cli('authority', 'invite')).trim()
  const ask = (
    host: Foreign,
    issuers: readonly Foreign[] = [],
    options: Partial<JoinOptions> = {}
  ): Promise<string> => {
    const proof = { method: 'certificate', chain: [host, ...issuers].map(({ der }) => der), key: host.key } as const
    const { name = 'unnamed', ...rest } = options
    return outcomeOf(
      askToJoin(invitation, name, { proof, ...rest, ...(options.name === undefined ? noName(name) : {}) })
    )
  }
  return { a, ca, directory, invitation, ask, id: trusted.trim() }
}

/** The host asks under any name, and takes the one that it is offered. */
const noName = (machine: string): Partial<JoinOptions> =>
  ({ name: undefined, machine }) as unknown as Partial<JoinOptions>

test('a host joins by a certificate that it has, under the name and for the scopes that the trust gives', async t => {
  const scope = scopeOf(t)
  const terms = ['--name-from', 'dns=*.fleet.example.com', '--name', 'vm-*', '--scope', 'dev', '--ephemeral']
  const { a, ca, directory, invitation } = await setUp(scope, ...terms)
  const middle = await foreign({ subject: 'CN=Example Sub', ca: true, pathLength: 0, issuer: ca })
  const host = await foreign({ subject: 'CN=x', dns: ['x.example.com', 'web-1.fleet.example.com'], issuer: middle })
  const [cert, key] = [join(directory, 'host.pem'), join(directory, 'host.key')]
  writeFileSync(cert, host.pem + middle.pem)
  writeFileSync(key, host.key.export({ format: 'pem', type: 'pkcs8' }))
  const proof = ['--join-with-cert', cert, '--join-with-key', key]
  const args = ['--join', invitation, ...proof]
  const b = await new TestAgent(scope, { name: 'vm-web-1', args }).start()
  await b.sees(1)
  assert.match((await b.attempt(['serve', 'prod.x.y.z'])).stderr, /scope/)
  assert.match(
    await a.cli('authority', 'trusts'),
    /ca +CN=Example CA +dns=\*\.fleet\.example\.com +vm-\* +dev +ephemeral/
  )
  const other = new TestAgent(scope, { name: 'mine', args })
  await assert.rejects(other.start(), (err: Error) => /gives this host the name vm-web-1, not mine/.test(err.message))
})

test('a certificate of another CA, out of date, or without its key admits nobody, nor does one of a CA that is trusted no more', async t => {
  const scope = scopeOf(t)
  const { a, ca, ask, id } = await setUp(scope)
  const host = (options: Partial<ForeignOptions> = {}) => foreign({ subject: 'CN=web-1', issuer: ca, ...options })
  const other = await foreign({ subject: 'CN=Example CA', ca: true })
  const thief = { ...(await host()), key: generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey }
  assert.match(await ask(await host({ issuer: other })), /^CERTIFICATE_REFUSED: .*its CA is not trusted/)
  assert.match(await ask(await host({ notAfterMs: Date.now() - 60_000 })), /^CERTIFICATE_REFUSED: .*ended at/)
  assert.match(await ask(thief), /^CERTIFICATE_REFUSED: .*does not prove the key/)
  assert.match(await ask(await host({ subject: 'CN=a' })), /^CERTIFICATE_REFUSED: .*the name of the authority/)
  assert.equal(await ask(await host()), 'web-1')
  // The name is that of the first host, whatever other certificates the CA makes.
  assert.match(await ask(await host()), /^CERTIFICATE_REFUSED: .*was not evicted/)
  await a.program.says(/"method":"certificate"/, 'stderr')
  await a.cli('authority', 'distrust', id)
  assert.match(await ask(await host({ subject: 'CN=web-2' })), /its CA is not trusted/)
})

test('an invitation alone, or a token with a proof beside it, is refused before anything is sent', async t => {
  const scope = scopeOf(t)
  const { a, invitation } = await setUp(scope)
  const token = (await a.cli('token', 'create', 'b')).trim()
  const run = async (...args: string[]): Promise<string> => {
    const directories = ['--state-dir', scope.directory(), '--runtime-dir', scope.directory(), '--no-mdns']
    const places = ['--listen', '127.0.0.1:0', '--data-listen', '127.0.0.1:0']
    return (await warren(scope, ['up', ...args, ...directories, ...places]).outcome()).stderr
  }
  assert.match(await run('--join', invitation), /an invitation needs exactly one proof/)
  assert.match(await run('--join', invitation, '--join-with-cert', '/none'), /belong together|cannot read/)
  assert.match(await run('--join', token, '--join-with-oidc', '/none'), /exclude each other/)
})
