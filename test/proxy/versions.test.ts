import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect as connectHttp2, type OutgoingHttpHeaders, type Settings } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { describe, it } from 'node:test'
import { connect as connectTls, createServer as createTlsServer } from 'node:tls'
import { ErrorCode, type VersionRange, WarrenError } from '../../src/core/index.ts'
import { FIRST_BYTE } from '../../src/proxy/fastpath/format.ts'
import type { Candidate } from '../../src/proxy/index.ts'
import { namingVersions } from '../../src/proxy/session/naming-versions.ts'
import { NoCommonSession } from '../../src/proxy/tls/index.ts'
import { agreedVersions, SETTING, versionSettings } from '../../src/proxy/tls/versions.ts'
import { settled } from '../harness/index.ts'
import { type Meddle, meddle, pass } from './support/meddler.ts'
import { agentCredentials, svidOf } from './support/pki.ts'
import { Accepted, converse, dial, readBytes } from './support/sockets.ts'
import { type Host, type Registration, World } from './support/world.ts'

const NAME = 'dev.test.server.default'
const LATER_SESSION = 'warren-session/9'

describe('the settings of a session', () => {
  it('show the versions of what runs beside it, and an agent that shows none is of the first version', () => {
    assert.deepEqual(agreedVersions({ customSettings: versionSettings(true) }), {
      fastPath: 2,
      datagrams: 1,
      resume: 2
    })
    assert.equal(agreedVersions({ customSettings: versionSettings(false) }).resume, undefined)
    assert.deepEqual(agreedVersions({}), { fastPath: 1, datagrams: 1, resume: undefined })
    const wide = { [SETTING.fastPath]: 0x1_0007, [SETTING.datagrams]: 0x1_0002 }
    assert.deepEqual(agreedVersions({ customSettings: wide }), { fastPath: 2, datagrams: 1, resume: undefined })
  })

  it('without a common version, or with what is no version, mean that it is not used', () => {
    for (const value of [0x3_0004, 0, 1, 0x1_0000, 0x3_0001, 0xffff_ffff]) {
      const settings: Settings = { customSettings: { [SETTING.fastPath]: value } }
      assert.deepEqual(
        agreedVersions(settings),
        { fastPath: undefined, datagrams: 1, resume: undefined },
        String(value)
      )
    }
  })
})

/** Asks `far` as an agent would that shows these settings. Resolves with the answer to each request, in order. */
async function askWith(
  near: Host,
  far: Host,
  served: Registration,
  settings: Settings,
  requests: readonly OutgoingHttpHeaders[]
): Promise<Array<Record<string, unknown>>> {
  const [host = '', port = ''] = (far.dataAddresses[0] ?? '').split(':')
  const { certPem, key } = await svidOf(near.node, 'spiffe://test.example/dev/test/client/default/alpha')
  const socket = connectTls({
    host,
    port: Number(port),
    servername: served.id.slice(0, 32),
    ALPNProtocols: ['h2'],
    rejectUnauthorized: false,
    cert: certPem,
    key: key.export({ type: 'pkcs8', format: 'pem' })
  })
  const session = connectHttp2('https://agent', { createConnection: () => socket, settings })
  try {
    const answers: Array<Record<string, unknown>> = []
    for (const headers of requests) {
      const stream = session.request(headers)
      const [answer] = (await settled(once(stream, 'response'), 'an answer')) as [Record<string, unknown>]
      answers.push(answer)
    }
    return answers
  } finally {
    session.destroy()
    socket.destroy()
  }
}

describe('an agent with another version of the fast path', () => {
  it('has its flows on the session, and is told when it asks for more', async () => {
    await using world = await World.create()
    const near = await world.host('alpha')
    const far = await world.host('beta')
    near.register('dev.test.client.default')
    const served = await far.serve(NAME, socket => void socket.on('error', () => {}))
    const flow = {
      ':method': 'CONNECT',
      ':authority': served.id,
      'warren-destination': `${NAME}.beta`,
      'warren-protocol': 'tcp'
    }
    const pool = { ':method': 'POST', ':scheme': 'https', ':path': '/warren/fast-path-cuts' }
    const later = { customSettings: { [SETTING.fastPath]: 0x3_0004 } }
    const [granted, refused] = await askWith(near, far, served, later, [flow, pool])
    assert.equal(granted?.[':status'], 200)
    assert.equal(refused?.['warren-error'], 'UNSUPPORTED')
    assert.match(decodeURIComponent(String(refused?.['warren-reason'])), /no common version of the fast path/)
    // One that shows nothing is of the first version.
    const [, pooled] = await askWith(near, far, served, {}, [flow, pool])
    assert.equal(pooled?.[':status'], 200)
  })
})

describe('who stands between two agents', () => {
  it('gets no answer to a preamble of another version than the two agreed on, and the flow stays whole', async () => {
    await using world = await World.create()
    const options = { upgradeThresholds: { bytes: 0, chunks: 1 } }
    const near = await world.host('alpha', options)
    const far = await world.host('beta', options)
    let changed = 0
    let answered = 0
    const other: Meddle = (piece, way, connection) => {
      if (way === 'down') answered += 1
      if (way === 'up' && piece[0] === FIRST_BYTE) {
        piece[1] = 1
        changed += 1
      }
      pass(piece, way, connection)
    }
    far.dataAddresses = [await meddle(world, far.dataAddresses[0] ?? '', other)]
    const source = near.register('dev.test.client.default')
    const accepted = new Accepted()
    await far.serve(NAME, accepted.push)
    const client = await dial((await near.connect(source, NAME)).path)
    client.write('x')
    const server = await accepted.next()
    await readBytes(server, 1)
    await converse(client, server, () => changed > 0)
    client.write('still here')
    assert.equal((await readBytes(server, 10)).toString(), 'still here')
    assert.deepEqual([near.proxy.flows()[0]?.carrier, answered], ['direct', 0])
  })
})

describe('an agent that speaks other versions of sessions only', () => {
  it('gets an error that names its version and ours and the host to upgrade, and no session', async () => {
    await using world = await World.create()
    const near = await world.host('alpha', { carrier: 'direct' })
    const far = await world.host('beta')
    const source = near.register('dev.test.client.default')
    await far.serve(NAME, () => assert.fail('nobody is served'))
    const { certPem, key } = await agentCredentials(far.node)
    const later = createTlsServer({
      cert: certPem,
      key: key.export({ type: 'pkcs8', format: 'pem' }),
      ALPNProtocols: [LATER_SESSION]
    })
    later.on('tlsClientError', () => {})
    await new Promise<void>(resolve => later.listen(0, '127.0.0.1', resolve))
    world.defer(() => void later.close())
    far.dataAddresses = [`127.0.0.1:${(later.address() as AddressInfo).port}`]
    await assert.rejects(near.connect(source, NAME), (err: WarrenError) => {
      assert.equal(err.code, ErrorCode.Unsupported)
      assert.match(
        err.reason,
        /the agent of beta speaks other versions of the session protocol, this one speaks version 1/
      )
      assert.match(err.hint ?? '', /docs\/upgrade\.md/)
      return true
    })
    const beta = (sessionVersions?: VersionRange) => ({ machine: 'beta', sessionVersions }) as Candidate
    const unsupported = new NoCommonSession('other versions', {})
    const announced = namingVersions(unsupported, beta({ min: 2, max: 3 }))
    assert.match(announced.reason, /the agent of beta speaks version 2-3 .*, this one speaks version 1/)
    assert.match(announced.hint ?? '', /Upgrade this host/)
    // A carrier has versions of its own: its error stays.
    const carrier = new WarrenError(ErrorCode.Unsupported, 'the relay speaks another version')
    assert.equal(namingVersions(carrier, beta()), carrier)
  })

  it('is refused by the alert of TLS when it opens a session', async () => {
    await using world = await World.create()
    const far = await world.host('beta')
    const [host = '', port = ''] = (far.dataAddresses[0] ?? '').split(':')
    const socket = connectTls({ host, port: Number(port), ALPNProtocols: [LATER_SESSION], rejectUnauthorized: false })
    const [err] = (await settled(once(socket, 'error'), 'the alert')) as [NodeJS.ErrnoException]
    assert.equal(err.code, 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL')
  })
})
