import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { ErrorCode, WarrenError } from '../../src/core/index.ts'
import type { PeerKey } from '../../src/identity/index.ts'
import type { RequestOptions } from '../../src/mesh/index.ts'
import { connection, makeHost, newKey, startHost, startPair, until } from './support.ts'

const LIMITS = { maxRequestBytes: 1_000, maxResponseBytes: 1_000 }
// The promises are about what is answered, not how soon: a busy machine needs more than the few seconds that are usual.
const timeoutMs = 60_000
const KB1 = { maxResponseBytes: 1_000, timeoutMs }

// Most of the time is spent waiting, so they run side by side.
suite('requests', { concurrency: 8 }, () => {
  test('a request is answered, whatever its bytes, and the handler knows who asks', async t => {
    const [a, b] = await startPair(t)
    let requester: PeerKey | undefined
    a.mesh.handle(
      '/warren/probe/1',
      async (peer, request) => {
        requester = peer
        return Buffer.concat([request, Buffer.from('!')])
      },
      LIMITS
    )
    for (const text of ['hello', '', '\0\0', 'x'.repeat(999)]) {
      const answer = await b.mesh.request(a.mesh.peer, '/warren/probe/1', Buffer.from(text), KB1)
      assert.equal(Buffer.from(answer).toString(), `${text}!`)
    }
    assert.equal(requester, b.mesh.peer)
  })

  test('an empty answer is an answer', async t => {
    const [a, b] = await startPair(t)
    a.mesh.handle('/warren/ack/1', async () => new Uint8Array(), LIMITS)
    assert.equal((await b.mesh.request(a.mesh.peer, '/warren/ack/1', Buffer.from('x'), KB1)).length, 0)
  })

  test('2 MB each way pass', async t => {
    const [a, b] = await startPair(t)
    const most = 2 * 1024 * 1024
    a.mesh.handle('/warren/sync/1', async (_, request) => request, { maxRequestBytes: most, maxResponseBytes: most })
    const request = Buffer.alloc(most, 'warren')
    const answer = await b.mesh.request(a.mesh.peer, '/warren/sync/1', request, { maxResponseBytes: most, timeoutMs })
    assert.ok(request.equals(answer))
  })

  test('a request above the limit of its handler is not handed to it', async t => {
    const [a, b] = await startPair(t)
    let handled = 0
    a.mesh.handle(
      '/warren/sync/1',
      async () => {
        handled += 1
        return new Uint8Array()
      },
      LIMITS
    )
    await assert.rejects(b.mesh.request(a.mesh.peer, '/warren/sync/1', Buffer.alloc(1_001), KB1))
    await assert.rejects(b.mesh.request(a.mesh.peer, '/warren/sync/1', Buffer.alloc(1_900_000), KB1))
    assert.equal(handled, 0)
  })

  test('an answer above the limit of the requester is refused, and so is one above that of the handler', async t => {
    const [a, b] = await startPair(t)
    const options = { maxRequestBytes: 10, maxResponseBytes: 100_000 }
    a.mesh.handle('/warren/sync/1', async () => Buffer.alloc(100_000), options)
    a.mesh.handle('/warren/ack/1', async () => Buffer.alloc(100_001), options)
    const ask = (protocol: '/warren/sync/1' | '/warren/ack/1', maxResponseBytes: number) =>
      b.mesh.request(a.mesh.peer, protocol, Buffer.from('x'), { maxResponseBytes, timeoutMs })
    assert.equal((await ask('/warren/sync/1', 100_000)).length, 100_000)
    await assert.rejects(ask('/warren/sync/1', 50_000), { code: ErrorCode.MessageTooLarge })
    await assert.rejects(ask('/warren/ack/1', 200_000), { code: ErrorCode.MessageTooLarge })
  })

  test('a limit above 2 MB is refused on both sides', async t => {
    const [a, b] = await startPair(t)
    const options = { maxRequestBytes: 10, maxResponseBytes: 3_000_000 }
    assert.throws(() => a.mesh.handle('/warren/sync/1', async r => r as never, options), { code: 'INVALID_OPTION' })
    a.mesh.handle('/warren/sync/1', async (_, request) => request, LIMITS)
    await assert.rejects(b.mesh.request(a.mesh.peer, '/warren/sync/1', Buffer.from('x'), options), {
      code: 'INVALID_OPTION'
    })
  })

  test('the WarrenError of a handler reaches the requester; other errors only as INTERNAL', async t => {
    const [a, b] = await startPair(t)
    a.mesh.handle(
      '/warren/policy/1',
      async () => {
        throw new WarrenError(ErrorCode.NotReady, 'still synchronising')
      },
      LIMITS
    )
    a.mesh.handle(
      '/warren/probe/1',
      async () => {
        throw new Error('secret path /etc/key')
      },
      LIMITS
    )
    const ask = (protocol: '/warren/policy/1' | '/warren/probe/1') =>
      b.mesh.request(a.mesh.peer, protocol, Buffer.from('x'), KB1)
    await assert.rejects(ask('/warren/policy/1'), { code: ErrorCode.NotReady, reason: /still synchronising/ })
    await assert.rejects(ask('/warren/probe/1'), (err: WarrenError) => {
      assert.equal(err.code, ErrorCode.Internal)
      assert.doesNotMatch(err.message, /secret/)
      return true
    })
  })

  test('an unknown protocol is UNSUPPORTED, an unknown host DESTINATION_UNREACHABLE, silence TIMEOUT', async t => {
    const [a, b] = await startPair(t)
    const stranger = await makeHost(t, 'stranger')
    a.mesh.handle('/warren/probe/1', () => new Promise(() => {}), LIMITS)
    const ask = (peer: PeerKey, protocol: '/warren/sync/1' | '/warren/probe/1', options: RequestOptions = KB1) =>
      b.mesh.request(peer, protocol, Buffer.from('x'), options)
    await assert.rejects(ask(a.mesh.peer, '/warren/sync/1'), { code: ErrorCode.Unsupported })
    await assert.rejects(ask(stranger.mesh.peer, '/warren/sync/1'), { code: ErrorCode.DestinationUnreachable })
    await assert.rejects(ask(a.mesh.peer, '/warren/probe/1', { ...KB1, timeoutMs: 200 }), { code: ErrorCode.Timeout })
  })

  test('a cancelled request ends with the reason of its signal, and the handler is told', async t => {
    const [a, b] = await startPair(t)
    const reason = new Error('no longer wanted')
    const controller = new AbortController()
    a.mesh.handle(
      '/warren/probe/1',
      () => {
        controller.abort(reason)
        return new Promise(() => {})
      },
      LIMITS
    )
    const asked = b.mesh.request(a.mesh.peer, '/warren/probe/1', Buffer.from('x'), {
      ...KB1,
      signal: controller.signal
    })
    await assert.rejects(asked, reason)
  })

  test('a host that dies in the middle of a request is DESTINATION_UNREACHABLE', async t => {
    const [a, b] = await startPair(t)
    a.mesh.handle(
      '/warren/probe/1',
      () => {
        void a.mesh.stop()
        return new Promise(() => {})
      },
      LIMITS
    )
    await assert.rejects(b.mesh.request(a.mesh.peer, '/warren/probe/1', Buffer.from('x'), KB1), (err: WarrenError) =>
      [ErrorCode.DestinationUnreachable, ErrorCode.StreamTruncated].some(code => code === err.code)
    )
  })

  test('a known host is dialled for a request', async t => {
    const a = await startHost(t, 'alpha', { key: newKey() })
    a.mesh.handle('/warren/probe/1', async (_, request) => request, LIMITS)
    const b = await makeHost(t, 'beta')
    await b.mesh.start()
    b.mesh.addHints(a.mesh.addresses())
    const answer = await b.mesh.request(a.mesh.peer, '/warren/probe/1', Buffer.from('hi'), KB1)
    assert.equal(Buffer.from(answer).toString(), 'hi')
    await connection(a, b)
  })

  test('more requests at once than a host may have in progress are LIMIT_EXCEEDED', async t => {
    const [a, b] = await startPair(t)
    const release = Promise.withResolvers<void>()
    let active = 0
    let most = 0
    a.mesh.handle(
      '/warren/probe/1',
      async (_, request) => {
        active += 1
        most = Math.max(most, active)
        await release.promise
        active -= 1
        return request
      },
      LIMITS
    )
    const asked = Array.from({ length: 24 }, () =>
      b.mesh.request(a.mesh.peer, '/warren/probe/1', Buffer.from('x'), KB1).then(
        () => 'answered',
        (err: WarrenError) => err.code
      )
    )
    await until(() => active === 16)
    await Promise.any(asked)
    release.resolve()
    const outcomes = await Promise.all(asked)
    assert.equal(most, 16)
    assert.equal(outcomes.filter(outcome => outcome === 'answered').length, 16)
    assert.equal(outcomes.filter(outcome => outcome === ErrorCode.LimitExceeded).length, 8)
    assert.deepEqual(a.hits, Array(8).fill('mesh_requests_per_peer'))
  })

  test('a host that asks faster than the rate allows is LIMIT_EXCEEDED, and another is not', async t => {
    let now = 0
    const a = await startHost(t, 'alpha', { clock: { wallMs: () => 0, monotonicMs: () => now } })
    a.mesh.handle('/warren/probe/1', async (_, request) => request, LIMITS)
    const b = await startHost(t, 'beta', { bootstrap: a.mesh.addresses() })
    const c = await startHost(t, 'gamma', { bootstrap: a.mesh.addresses() })
    await Promise.all([connection(a, b), connection(a, c)])
    const ask = (host: typeof b) => host.mesh.request(a.mesh.peer, '/warren/probe/1', Buffer.from('x'), KB1)
    for (let batch = 0; batch < 20; batch += 1) await Promise.all(Array.from({ length: 10 }, () => ask(b)))
    await assert.rejects(ask(b), { code: ErrorCode.LimitExceeded })
    assert.deepEqual(a.hits, ['mesh_request_rate'])
    await ask(c)
    now += 1_000
    await ask(b)
  })
})
