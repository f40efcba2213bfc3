import assert from 'node:assert/strict'
import { once } from 'node:events'
import { chmodSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { AgentClient, register } from '../../src/client/index.ts'
import { scopeOf, startPair, TestAgent, waitFor } from '../harness/index.ts'
import { Actor, ActorError } from './actor.ts'
import { type Language, languages } from './languages.ts'

const scope = scopeOf({ after: fn => after(fn as () => Promise<void>) })
const [[a, b], all] = await Promise.all([startPair(scope), languages(scope)])

/** The processes of one language: a server on one host and a client on the other. */
interface Cast {
  readonly language: Language
  readonly server: Actor
  readonly client: Actor
  /** Address that nobody else in this file has. */
  readonly address: (name: string) => string
  readonly as: string
}

interface Connected {
  readonly peer: { readonly spiffeId: string; readonly address: string; readonly flowId: string }
}

const SHOPS = ['dev.shop.*.*']

const PROMISES: Readonly<Record<string, (cast: Cast) => Promise<void>>> = {
  'bytes go both ways, and each end knows who the other is': async ({ server, client, address, as }) => {
    const served = await server.call<{ address: string; spiffeId: string }>('listen', {
      name: 'echo',
      address: address('echo'),
      whitelist: SHOPS
    })
    assert.equal(served.address, `${address('echo')}.a`)
    const { peer } = await client.callUntil<Connected>('connect', { name: 'both', to: address('echo'), as })
    assert.deepEqual([peer.address, peer.spiffeId], [served.address, served.spiffeId])
    const seen = await server.says('connection')
    assert.deepEqual([seen.peer?.address, seen.peer?.flowId], [`${as}.b`, peer.flowId])
    await client.call('send', { name: 'both', text: 'hello' })
    assert.deepEqual(await client.call('recv', { name: 'both', size: 5 }), { text: 'hello' })
    await client.call('end', { name: 'both' })
    assert.deepEqual(await client.call('readAll', { name: 'both' }), { text: '', how: 'ended', reason: '' })
    assert.equal((await server.says('end')).how, 'ended')
    await client.call('close', { name: 'both' })
  },

  'ten megabytes come back whole': async ({ client, address, as }) => {
    const answer = await client.call<{ bytes: number }>('bulk', { to: address('echo'), as, bytes: 10_000_000 })
    assert.equal(answer.bytes, 10_000_000)
  },

  'a whitelist lets in the sources that it names, and others get UNAUTHORIZED': async ({ client, address }) => {
    const refused = client.call('connect', { name: 'no', to: address('echo'), as: 'dev.other.cart.default' })
    await assert.rejects(refused, hasCode('UNAUTHORIZED'))
  },

  'a client that has ended its direction still receives the answer': async ({ server, client, address, as }) => {
    await server.call('listen', { name: 'count', address: address('count'), whitelist: SHOPS, mode: 'count' })
    await client.callUntil('connect', { name: 'half', to: address('count'), as })
    await client.call('send', { name: 'half', text: 'twelve bytes' })
    await client.call('end', { name: 'half' })
    assert.deepEqual(await client.call('readAll', { name: 'half' }), { text: '12', how: 'ended', reason: '' })
    await client.call('close', { name: 'half' })
  },

  'with explicit ends a whole connection ends cleanly at both ends': async ({ server, client, address, as }) => {
    server.events.length = 0
    await client.call('connect', { name: 'strict', to: address('count'), as, explicitEnd: true })
    await client.call('send', { name: 'strict', text: 'four' })
    await client.call('end', { name: 'strict' })
    assert.deepEqual(await client.call('readAll', { name: 'strict' }), { text: '4', how: 'ended', reason: '' })
    assert.equal((await server.says('end')).how, 'ended')
    await client.call('close', { name: 'strict' })
  },

  'with explicit ends a client that is killed is a cut at the server, and no end': async cast => {
    const { server, address, as } = cast
    await server.call('listen', { name: 'hold', address: address('hold'), whitelist: SHOPS, mode: 'hold' })
    const victim = new Actor(scope, cast.language, b.runtimeDir)
    await victim.callUntil('connect', { name: 'x', to: address('hold'), as, explicitEnd: true })
    await victim.call('send', { name: 'x', text: 'half of' })
    await server.says('connection', ({ peer }) => peer?.address === `${as}.b`)
    server.events.length = 0
    await victim.kill()
    assert.equal((await server.says('end')).how, 'STREAM_TRUNCATED')
  },

  'failures have the codes of the agent': async ({ client, address, as }) => {
    const connect = async (to: string, options: object = {}): Promise<object> =>
      await client.call('connect', { name: 'no', to, as, ...options })
    await assert.rejects(connect('dev.web.nobody.default'), hasCode('DESTINATION_NOT_FOUND'))
    await assert.rejects(connect('not an address'), hasCode('INVALID_ARGUMENT'))
    await assert.rejects(connect(address('echo'), { as: 'dev.shop' }), hasCode('INVALID_ARGUMENT'))
    await assert.rejects(connect(address('echo'), { as: 'prod.shop.cart.default' }), hasCode('UNAUTHORIZED'))
    await assert.rejects(client.call('register', { name: 'no', address: 'dev..x' }), hasCode('INVALID_ARGUMENT'))
  },

  'a registration gives an address until it is closed': async ({ client, address }) => {
    const held = await client.call<{ address: string }>('register', { name: 'held', address: address('held') })
    assert.equal(held.address, `${address('held')}.b`)
    const closed = client.call('closed', { name: 'held' })
    await client.call('close', { name: 'held' })
    assert.deepEqual(await closed, { reason: 'closed', code: '' })
  },

  'names of DNS for its certificates are those that an entry grants': async ({ client, address }) => {
    const options = { name: 'named', address: address('named') }
    const refused = client.call('register', { ...options, dnsNames: ['other.named.example'] })
    await assert.rejects(refused, hasCode('PERMISSION_DENIED'))
    const { address: granted } = await client.call<{ address: string }>('register', {
      ...options,
      dnsNames: ['named.example']
    })
    assert.equal(granted, `${address('named')}.b`)
    await client.call('close', { name: 'named' })
  },

  'a registration that the agent ends says why, and is not made again': async ({ client, address }) => {
    await client.call('register', { name: 'revoked', address: address('revoked') })
    const closed = client.call<{ reason: string; code: string }>('closed', { name: 'revoked' })
    await a.cli('revoke', `${address('revoked')}.b`)
    const { reason, code } = await closed
    assert.match(reason, /revoked/)
    assert.equal(code, 'INVALID_SOURCE')
  },

  'datagrams keep their boundaries, and an empty one is one': async ({ server, client, address, as }) => {
    const options = { address: address('udp'), whitelist: SHOPS, protocol: 'udp' }
    await server.call('listen', { name: 'udp', ...options })
    const { peer } = await client.callUntil<Connected>('connect', {
      name: 'u',
      to: address('udp'),
      as,
      protocol: 'udp'
    })
    assert.equal(peer.address, `${address('udp')}.a`)
    const sent = ['', 'one', 'three of them']
    for (const text of sent) assert.deepEqual(await client.call('send', { name: 'u', text }), { sent: true })
    const answers: string[] = []
    for (const _ of sent) answers.push((await client.call<{ text: string }>('recv', { name: 'u' })).text)
    assert.deepEqual(answers.sort(), sent)
    const large = client.call('send', { name: 'u', text: 'x'.repeat(65_508) })
    await assert.rejects(large, hasCode('MESSAGE_TOO_LARGE'))
    await client.call('close', { name: 'u' })
  },

  'HTTP goes through the mesh': async ({ client, as }) => {
    assert.deepEqual(await client.call('http', { to: 'dev.web.site.default', as }), {
      status: 200,
      text: 'you asked for /prices\n'
    })
  },

  'a server that is closed is not there any more': async ({ server, client, address, as }) => {
    await server.call('close', { name: 'count' })
    await gone(client, address('count'), as)
  },

  'the end of its process ends a registration': async ({ language, client, address, as }) => {
    const victim = new Actor(scope, language, a.runtimeDir)
    await victim.call('listen', { name: 'mortal', address: address('mortal'), whitelist: SHOPS })
    await client.callUntil('connect', { name: 'before', to: address('mortal'), as })
    await victim.kill()
    await gone(client, address('mortal'), as)
  }
}

const site = createServer((request, response) => response.end(`you asked for ${request.url}\n`))
scope.defer(() => site.close())
await once(site.listen(0, '127.0.0.1'), 'listening')
const own = new AgentClient({ runtimeDir: a.runtimeDir })
scope.defer(() => own.close())
const { port } = site.address() as AddressInfo
await a.cli('entry', 'add', '--uid', String(process.getuid?.()), '--dns-name', 'named.example', 'dev.web.*.default')
await b.follows(a)
await register('dev.web.site.default', { client: own, target: { tcp: `127.0.0.1:${port}` }, whitelist: SHOPS })
await b.knows('dev.web.site.default')

const casts = all
  .filter(({ skip }) => skip === undefined)
  .map(
    (language): Cast => ({
      language,
      server: new Actor(scope, language, a.runtimeDir),
      client: new Actor(scope, language, b.runtimeDir),
      address: name => `dev.web.${language.slug}-${name}.default`,
      as: `dev.shop.${language.slug}.default`
    })
  )

for (const language of all) {
  const cast = casts.find(each => each.language === language)
  for (const [promise, keep] of Object.entries(PROMISES)) {
    test(`${language.name}: ${promise}`, { skip: language.skip ?? false }, async () => {
      if (cast !== undefined) await keep(cast)
    })
  }
}

test('each library reaches the servers of each other one', async () => {
  for (const { client, language, as } of casts) {
    for (const { address, language: other } of casts) {
      const name = `to ${other.name}`
      await client.call('connect', { name, to: address('echo'), as })
      await client.call('send', { name, text: language.name })
      await client.call('end', { name })
      assert.equal((await client.call<{ text: string }>('readAll', { name })).text, language.name, name)
      await client.call('close', { name })
    }
  }
})

test('a registration stays the same while the program of its agent is replaced', async () => {
  const mine = async (): Promise<Map<string, string>> => {
    const { services } = JSON.parse(await a.cli('services', '--json')) as {
      readonly services: ReadonlyArray<{ readonly address: string; readonly registrationId: string }>
    }
    return new Map(services.map(({ address, registrationId }) => [address, registrationId]))
  }
  const before = await mine()
  const { registrations } = JSON.parse(await a.cli('upgrade', '--json')) as { readonly registrations: number }
  assert.ok(registrations >= casts.length)
  await Promise.all(casts.map(echoes))
  const after = await mine()
  for (const { address } of casts) {
    const id = before.get(`${address('echo')}.a`)
    assert.ok(id)
    assert.equal(after.get(`${address('echo')}.a`), id)
  }
  // Nobody has registered anew beside it. A source on the other host is registered for as long as it has connections, so it comes
  // and goes with each of these.
  const served = (found: ReadonlyMap<string, string>): string[] =>
    [...found.keys()].filter(address => address.endsWith('.a')).sort()
  assert.deepEqual(served(after), served(before))
})

test('after a restart of its agent a server is reachable again, and open connections were cut', async () => {
  const cuts = casts.map(async ({ client, address, as }) => {
    await client.call('connect', { name: 'cut', to: address('echo'), as })
    return async () => (await client.call<{ how: string }>('readAll', { name: 'cut' })).how
  })
  const ends = await Promise.all(cuts)
  await a.kill()
  assert.deepEqual(
    await Promise.all(ends.map(end => end())),
    casts.map(() => 'STREAM_TRUNCATED')
  )
  await a.start([])
  await Promise.all(casts.map(echoes))
})

test('after a restart of its agent a client connects again, and its flows of datagrams were cut', async () => {
  for (const { client, address, as } of casts) {
    await client.callUntil('connect', { name: 'flow', to: address('udp'), as, protocol: 'udp' })
    await client.call('send', { name: 'flow', text: 'there' })
    assert.deepEqual(await client.call('recv', { name: 'flow' }), { text: 'there' })
  }
  const cuts = casts.map(({ client }) => assert.rejects(client.call('recv', { name: 'flow' }), hasCode('FLOW_CUT')))
  await b.kill()
  await Promise.all(cuts)
  for (const { client, address, as } of casts) {
    const call = client.call('connect', { name: 'no', to: address('echo'), as })
    await assert.rejects(call, hasCode('AGENT_NOT_RUNNING'))
  }
  await b.start([])
  await Promise.all(casts.map(echoes))
})

test('without an agent calls fail with AGENT_NOT_RUNNING, and a program can wait for it', async () => {
  const c = new TestAgent(scope, { name: 'c', args: ['--init', 'example.net'] })
  const early = casts.map(({ language }) => new Actor(scope, language, c.runtimeDir))
  for (const actor of early) {
    const call = actor.call('register', { name: 'early', address: 'dev.web.early.default' })
    await assert.rejects(call, hasCode('AGENT_NOT_RUNNING'))
  }
  const waiting = early.map(actor => actor.call('waitForAgent'))
  await c.start()
  await Promise.all(waiting)
  for (const [at, actor] of early.entries()) {
    await actor.call('register', { name: 'early', address: `dev.web.early${at}.default` })
  }
})

test('a runtime directory that others may write gets no call', async () => {
  const directory = scope.directory()
  const actors = casts.map(({ language }) => new Actor(scope, language, directory))
  chmodSync(directory, 0o777)
  const server = createServer(() => assert.fail('it was called'))
  scope.defer(() => server.close())
  await once(server.listen(join(directory, 'agent.sock')), 'listening')
  for (const actor of actors) {
    const call = actor.call('register', { name: 'no', address: 'dev.web.site.default' })
    await assert.rejects(call, hasCode('PERMISSION_DENIED'))
  }
})

async function echoes({ client, address, as }: Cast): Promise<void> {
  await client.callUntil('connect', { name: 'again', to: address('echo'), as })
  await client.call('send', { name: 'again', text: 'again' })
  assert.deepEqual(await client.call('recv', { name: 'again', size: 5 }), { text: 'again' })
  await client.call('close', { name: 'again' })
}

/** Waits until nobody serves `to`. */
async function gone(client: Actor, to: string, as: string): Promise<void> {
  await waitFor(async () => {
    const code = await client.call('connect', { name: 'gone', to, as }).then(
      () => 'connected',
      (err: unknown) => (err instanceof ActorError ? err.code : Promise.reject(err))
    )
    return code === 'DESTINATION_NOT_FOUND'
  }, `${to} to be gone`)
}

function hasCode(code: string) {
  return (err: unknown): boolean => {
    if (!(err instanceof ActorError)) throw err
    assert.equal(err.code, code, err.message)
    return true
  }
}
