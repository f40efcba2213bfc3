import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type IncomingHttpHeaders, request } from 'node:http'
import { connect } from 'node:net'
import { type TestContext, test } from 'node:test'
import { KEY_HEADER } from '../../src/console/guard.ts'
import { meshOf } from './mesh.ts'
import { consoleOver } from './support.ts'

interface Reply {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
}

interface Asked {
  readonly method?: string
  readonly path?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

/** A request as a program sends it, with whatever headers. */
async function send(port: number, { method = 'GET', path = '/', headers = {}, body }: Asked): Promise<Reply> {
  const sent = request({ host: '127.0.0.1', port, method, path, headers, agent: false })
  sent.end(body)
  const [response] = await once(sent, 'response')
  let text = ''
  for await (const chunk of response) text += String(chunk)
  return { status: response.statusCode, headers: response.headers, text }
}

/** A console with one open session, and the headers of its requests. */
async function opened(t: TestContext, allowsChanges = false) {
  const calls: string[] = []
  const mesh = meshOf(2)
  const { server, port, origin } = await consoleOver(
    t,
    {
      ...mesh,
      admin: {
        ...mesh.admin,
        getPolicy: async () => ({ version: 1n }),
        addRule: async ({ dryRun }) => {
          calls.push(dryRun ? 'dry run' : 'change')
          return { version: 1n, rule: { id: 'r1' } }
        }
      }
    },
    allowsChanges
  )
  const link = server.link().split('#')[1] ?? ''
  const json = { origin, 'content-type': 'application/json', [KEY_HEADER]: 'none' }
  const reply = await send(port, {
    method: 'POST',
    path: '/api/session',
    headers: json,
    body: JSON.stringify({ link })
  })
  assert.equal(reply.status, 200)
  const cookie = String(reply.headers['set-cookie']?.[0])
  const { key } = JSON.parse(reply.text) as { key: string }
  const own = { cookie: cookie.split(';')[0] ?? '', [KEY_HEADER]: key }
  return { server, port, origin, link, json, own, cookie, calls }
}

const DRAFT = JSON.stringify({ source: 'dev.a.b.c', destination: 'dev.d.e.f', protocol: 'tcp' })

test('a page with its session gets data, and every answer forbids frames, other resources, guesses and caches', async t => {
  const { port, own, cookie } = await opened(t)
  assert.match(cookie, /; HttpOnly/)
  assert.match(cookie, /; SameSite=Strict/)
  const data = await send(port, { path: '/api/mesh', headers: own })
  assert.equal(data.status, 200)
  assert.equal(JSON.parse(data.text).value.hosts.length, 2)
  for (const reply of [data, await send(port, {}), await send(port, { path: '/none' })]) {
    const policy = String(reply.headers['content-security-policy'])
    for (const rule of ["default-src 'none'", "frame-ancestors 'none'", "script-src 'self'", "connect-src 'self'"]) {
      assert.ok(policy.includes(rule), rule)
    }
    assert.ok(!policy.includes('unsafe'))
    assert.equal(reply.headers['x-frame-options'], 'DENY')
    assert.equal(reply.headers['x-content-type-options'], 'nosniff')
    assert.equal(reply.headers['cache-control'], 'no-store')
    assert.equal(reply.headers['cross-origin-resource-policy'], 'same-origin')
    assert.equal(reply.headers['access-control-allow-origin'], undefined)
  }
})

test('the pages load nothing from elsewhere', async t => {
  const { port } = await opened(t)
  const { text } = await send(port, {})
  const places = [...text.matchAll(/(?:src|href)="([^"]*)"/g)].map(([, place = '']) => place)
  assert.ok(places.length >= 3)
  for (const place of places) {
    assert.match(place, /^\//)
    const file = await send(port, { path: place })
    assert.equal(file.status, 200, place)
    assert.doesNotMatch(file.text, /@import|url\(|innerHTML\s*=\s*[`'"]/, place)
  }
})

test('a request for another host is refused, so that no name of another site leads here', async t => {
  const { port, own } = await opened(t)
  const hosts = ['attacker.example', `attacker.example:${port}`, '127.0.0.1', `127.0.0.1:${port + 1}`, `[::1]:${port}`]
  for (const host of [...hosts, `127.0.0.1:${port}.attacker.example`, `localhost.:${port}`]) {
    for (const path of ['/', '/api/mesh']) {
      assert.equal((await send(port, { path, headers: { ...own, host } })).status, 403, host)
    }
  }
  assert.equal((await send(port, { path: '/api/mesh', headers: { ...own, host: `localhost:${port}` } })).status, 200)
})

test('a request of another site or port changes nothing and reads nothing', async t => {
  const { port, own, origin, calls } = await opened(t, true)
  const type = { 'content-type': 'application/json' }
  const others = ['http://attacker.example', 'null', `http://127.0.0.1:${port + 1}`, `https://127.0.0.1:${port}`]
  for (const other of others) {
    for (const path of ['/api/draft', '/api/apply', '/api/session', '/api/end']) {
      const headers = { ...own, ...type, origin: other }
      assert.equal((await send(port, { method: 'POST', path, headers, body: DRAFT })).status, 403, `${other} ${path}`)
    }
    assert.equal((await send(port, { path: '/api/mesh', headers: { ...own, origin: other } })).status, 403, other)
  }
  for (const site of ['cross-site', 'same-site', 'none']) {
    const headers = { ...own, 'sec-fetch-site': site }
    assert.equal((await send(port, { path: '/api/mesh', headers })).status, 403, site)
  }
  // Neither a form, which has no such header and no such type, nor a request that names no origin.
  const { [KEY_HEADER]: _key, ...cookieOnly } = own
  const form = { ...cookieOnly, origin, 'content-type': 'application/x-www-form-urlencoded' }
  assert.equal((await send(port, { method: 'POST', path: '/api/draft', headers: form, body: 'a=b' })).status, 403)
  assert.equal(
    (await send(port, { method: 'POST', path: '/api/draft', headers: { ...own, ...type }, body: DRAFT })).status,
    403
  )
  const plain = { ...own, origin, 'content-type': 'text/plain' }
  assert.equal((await send(port, { method: 'POST', path: '/api/draft', headers: plain, body: DRAFT })).status, 400)
  const preflight = { ...own, origin: 'http://attacker.example', 'access-control-request-method': 'POST' }
  assert.equal((await send(port, { method: 'OPTIONS', path: '/api/draft', headers: preflight })).status, 403)
  assert.deepEqual(calls, [])
})

test('neither the cookie nor the key alone is a session: other ports of 127.0.0.1 get the cookie too', async t => {
  const { port, own } = await opened(t)
  const { cookie = '', [KEY_HEADER]: key = '' } = own
  const wrong = [
    {},
    { cookie },
    { [KEY_HEADER]: key },
    { cookie, [KEY_HEADER]: 'none' },
    { cookie: 'x', [KEY_HEADER]: key },
    { cookie: `${cookie}; ${cookie}`, [KEY_HEADER]: key },
    { cookie, [KEY_HEADER]: cookie.split('=')[1] ?? '' }
  ]
  for (const headers of wrong) {
    const { status, text } = await send(port, { path: '/api/mesh', headers })
    assert.ok(status === 401 || status === 403, String(status))
    assert.doesNotMatch(text, /host-0000|example\.org/)
  }
})

test('a link opens once, is replaced by the next one, and is of no use when it is guessed', async t => {
  const { server, port, json, link } = await opened(t)
  const open = async (secret: string): Promise<number> =>
    (await send(port, { method: 'POST', path: '/api/session', headers: json, body: JSON.stringify({ link: secret }) }))
      .status
  assert.equal(await open(link), 403)
  assert.equal(await open(''), 403)
  const older = server.link().split('#')[1] ?? ''
  const newer = server.link().split('#')[1] ?? ''
  assert.equal(await open(older), 403)
  assert.equal(await open(newer), 200)
  assert.equal(await open(newer), 403)
})

test('a session that was ended opens nothing any more', async t => {
  const { port, own, origin } = await opened(t)
  const headers = { ...own, origin, 'content-type': 'application/json' }
  assert.equal((await send(port, { method: 'POST', path: '/api/end', headers, body: '{}' })).status, 200)
  assert.equal((await send(port, { path: '/api/mesh', headers: own })).status, 401)
})

test('without --allow-changes nothing is changed, and with it only what a dry run has shown', async t => {
  for (const allowsChanges of [false, true]) {
    const { port, own, origin, calls } = await opened(t, allowsChanges)
    const headers = { ...own, origin, 'content-type': 'application/json' }
    const post = async (path: string, body: object): Promise<Reply> =>
      await send(port, { method: 'POST', path, headers, body: JSON.stringify(body) })
    const draft = JSON.parse((await post('/api/draft', JSON.parse(DRAFT))).text) as { id: string; command: string }
    assert.equal(draft.command, 'warren allow dev.a.b.c dev.d.e.f --tcp')
    assert.equal((await post('/api/apply', { id: 'another' })).status, allowsChanges ? 409 : 403)
    assert.equal((await post('/api/apply', { id: draft.id })).status, allowsChanges ? 200 : 403)
    assert.equal((await post('/api/apply', { id: draft.id })).status, allowsChanges ? 409 : 403)
    assert.deepEqual(calls, allowsChanges ? ['dry run', 'change'] : ['dry run'])
  }
})

test('what a draft quotes is one word of a shell each', async t => {
  const { port, own, origin } = await opened(t)
  const headers = { ...own, origin, 'content-type': 'application/json' }
  const body = JSON.stringify({
    source: 'dev.*.*.*',
    destination: 'dev.{a,b}.c.d',
    protocol: 'udp',
    reason: "it's $(id)"
  })
  const { text } = await send(port, { method: 'POST', path: '/api/draft', headers, body })
  assert.equal(JSON.parse(text).command, `warren allow 'dev.*.*.*' 'dev.{a,b}.c.d' --udp --reason 'it'\\''s $(id)'`)
})

test('bodies, headers and methods beyond the bounds are refused, and no path leads to a file', async t => {
  const { port, own, origin } = await opened(t)
  const headers = { ...own, origin, 'content-type': 'application/json' }
  const post = async (body: string): Promise<number> =>
    (await send(port, { method: 'POST', path: '/api/explain', headers, body })).status
  assert.equal(await post(JSON.stringify({ source: 'x'.repeat(20_000) })), 413)
  assert.equal(await post(JSON.stringify({ source: 'x'.repeat(2_000) })), 400)
  for (const body of ['', 'null', '[]', '{', '"x"', '{"source":1}']) assert.equal(await post(body), 400, body)
  assert.equal((await send(port, { headers: { cookie: 'x'.repeat(9_000) } })).status, 431)
  assert.equal((await send(port, { method: 'DELETE', path: '/api/mesh', headers: { ...own, origin } })).status, 405)
  assert.equal((await send(port, { method: 'PUT', headers: { origin } })).status, 405)
  const paths = [
    '/../package.json',
    '/..%2f..%2fpackage.json',
    '/%2e%2e/index.ts',
    '/index.html/../../server.ts',
    '//etc/passwd'
  ]
  for (const path of [...paths, '/main.js%00', '/constructor', '/api/../../shapes.ts', '/api/none', '/web-files.ts']) {
    const { status } = await send(port, { path, headers: own })
    assert.ok(status === 400 || status === 404, `${path}: ${status}`)
  }
})

test('a session that asks too much is slowed down, and another one is not', async t => {
  const { server, port, own, json } = await opened(t)
  const all = await Promise.all(Array.from({ length: 100 }, () => send(port, { path: '/api/flows', headers: own })))
  const statuses = new Set(all.map(({ status }) => status))
  assert.deepEqual([...statuses].sort(), [200, 429])
  const link = server.link().split('#')[1] ?? ''
  const reply = await send(port, {
    method: 'POST',
    path: '/api/session',
    headers: json,
    body: JSON.stringify({ link })
  })
  const other = {
    cookie: String(reply.headers['set-cookie']?.[0]?.split(';')[0]),
    [KEY_HEADER]: JSON.parse(reply.text).key
  }
  assert.equal((await send(port, { path: '/api/flows', headers: other })).status, 200)
})

test('connections of other users up to any number leave a place for the browser', async t => {
  const { port, own } = await opened(t)
  const sockets = Array.from({ length: 200 }, () => connect(port, '127.0.0.1').on('error', () => {}))
  await Promise.all(sockets.map(socket => once(socket, 'connect')))
  assert.equal((await send(port, { path: '/api/flows', headers: own })).status, 200)
  for (const socket of sockets) socket.destroy()
})
