import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { get } from 'node:https'
import { createConnection } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { after, before, test } from 'node:test'
import { createLocalJWKSet, type JSONWebKeySet, jwtVerify } from 'jose'
import { AgentClient, register } from '../../src/client/index.ts'
import { needsCommand, type Program, scopeOf, startPair, type TestAgent, waitFor } from '../harness/index.ts'

const ISSUER = 'https://oidc.example.org/mesh'
const NAME = 'oidc.example.org'

const scope = scopeOf({ after: end => after(end as () => Promise<void>) })
let a: TestAgent
let b: TestAgent
before(async () => {
  ;[a, b] = await startPair(scope, { args: ['--jwt-issuer', ISSUER] })
})

interface Discovery {
  readonly issuer: string
  readonly jwks_uri: string
}

/** A JWT-SVID of a workload of this agent. */
async function tokenOf(agent: TestAgent, address: string): Promise<string> {
  const client = new AgentClient({ runtimeDir: agent.runtimeDir })
  try {
    await register(address, { client, wait: 'local' })
    const { svids } = await client.spiffe.fetchJWTSVID({ audience: ['vault'] })
    return svids[0]?.svid ?? ''
  } finally {
    await client.close()
  }
}

async function oidc(...args: string[]): Promise<{ readonly program: Program; readonly at: string }> {
  const program = a.spawn(['oidc', '--listen', '127.0.0.1:0', ...args])
  const [at] = await program.says(/^127\.0\.0\.1:\d+$/m)
  return { program, at }
}

test('a relying party verifies tokens of every host by the issuer that they name', async () => {
  const { at, program } = await oidc()
  await program.says(/a server in front has to end the TLS of https:\/\/oidc\.example\.org\/mesh/, 'stderr')
  const json = async <T>(path: string): Promise<T> => (await (await fetch(`http://${at}${path}`)).json()) as T
  const tokens = await Promise.all([tokenOf(a, 'dev.shop.cart.default'), tokenOf(b, 'dev.web.site.default')])
  // A server in front may remove the path of the issuer, or leave it.
  for (const prefix of ['/mesh', '']) {
    const discovery = await json<Discovery>(`${prefix}/.well-known/openid-configuration`)
    assert.equal(discovery.issuer, ISSUER)
    assert.equal(discovery.jwks_uri, `${ISSUER}/keys`)
    const keys = createLocalJWKSet(await json<JSONWebKeySet>(`${prefix}/keys`))
    const subjects = tokens.map(async token => {
      const { payload } = await jwtVerify(token, keys, { issuer: discovery.issuer, audience: 'vault' })
      return payload.sub
    })
    assert.deepEqual(await Promise.all(subjects), [
      'spiffe://example.org/dev/shop/cart/default/a',
      'spiffe://example.org/dev/web/site/default/b'
    ])
  }
  const { keys } = await json<JSONWebKeySet>('/keys')
  for (const key of keys) assert.deepEqual(Object.keys(key).sort(), ['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y'])
  assert.deepEqual(new Set(keys.map(({ use }) => use)), new Set(['sig']))

  const own = await oidc('--machine', 'a')
  const ofA = createLocalJWKSet((await (await fetch(`http://${own.at}/keys`)).json()) as JSONWebKeySet)
  const options = { issuer: ISSUER, audience: 'vault' }
  await jwtVerify(tokens[0], ofA, options)
  await assert.rejects(jwtVerify(tokens[1], ofA, options), { code: 'ERR_JWKS_NO_MATCHING_KEY' })
})

test('over HTTPS the certificate of files is used, and another one once it is there', async t => {
  if (!needsCommand(t, 'openssl')) return
  const directory = scope.directory()
  const [cert, key] = [join(directory, 'cert.pem'), join(directory, 'key.pem')]
  const make = (): void => {
    const subject = ['-subj', `/CN=${NAME}`, '-addext', `subjectAltName=DNS:${NAME}`]
    const type = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-noenc', '-days', '2']
    execFileSync('openssl', ['req', '-x509', ...type, ...subject, '-out', cert, '-keyout', key], { stdio: 'ignore' })
  }
  make()
  const { at, program } = await oidc('--tls-cert', cert, '--tls-key', key)
  const [, port] = at.split(':')
  const ask = (ca: string): Promise<string> =>
    new Promise((resolve, reject) => {
      const path = '/mesh/.well-known/openid-configuration'
      get({ host: '127.0.0.1', port, servername: NAME, ca, agent: false, path, headers: { host: NAME } }, response =>
        text(response).then(resolve, reject)
      ).on('error', reject)
    })
  const first = readFileSync(cert, 'utf8')
  assert.equal((JSON.parse(await ask(first)) as Discovery).issuer, ISSUER)
  make()
  await program.says(/the certificate has changed/, 'stderr')
  assert.equal((JSON.parse(await ask(readFileSync(cert, 'utf8'))) as Discovery).issuer, ISSUER)
  await assert.rejects(ask(first), /self-signed certificate|unable to verify/)
})

test('what is no request of a document gets none, and connections that say nothing keep nobody out', async () => {
  const { at } = await oidc()
  const status = async (path: string, method = 'GET'): Promise<number> =>
    (await fetch(`http://${at}${path}`, { method })).status
  assert.deepEqual(
    await Promise.all([status('/'), status('/keys/../x'), status('/keys', 'POST'), status('/keys?a=b', 'HEAD')]),
    [404, 404, 405, 200]
  )
  const [host = '', port = ''] = at.split(':')
  const silent = Array.from({ length: 300 }, () => createConnection({ host, port: Number(port) }).on('error', () => {}))
  scope.defer(() => {
    for (const socket of silent) socket.destroy()
  })
  await waitFor(() => silent.some(socket => socket.closed), 'the oldest to make room')
  assert.equal(await status('/keys'), 200)
})

test('without TLS other hosts cannot reach it, and without an issuer or a key it says what to do', async () => {
  const refused = async (...args: string[]): Promise<string> => {
    const { code, stderr } = await a.attempt(['oidc', ...args])
    assert.notEqual(code, 0)
    return stderr
  }
  assert.match(await refused('--listen', '0.0.0.0:8480'), /by HTTPS alone\n {2}Give --tls-cert and --tls-key/)
  assert.match(await refused('--tls-cert', 'x'), /--tls-cert and --tls-key go together/)
  const wrong = join(scope.directory(), 'wrong.pem')
  writeFileSync(wrong, 'nonsense')
  copyFileSync(wrong, `${wrong}.key`)
  assert.match(await refused('--tls-cert', wrong, '--tls-key', `${wrong}.key`), /are no certificate and its key/)
  await b.stop()
  await b.start([])
  const { stderr } = await b.attempt(['oidc'])
  assert.match(
    stderr,
    /UNSUPPORTED: .* have no issuer\n {2}Start each agent .*--jwt-issuer https:\/\/oidc\.example\.org/
  )
})
