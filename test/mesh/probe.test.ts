import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import { FailureService } from '../../src/cluster/failure/index.ts'
import { ErrorCode, systemClock, WarrenError } from '../../src/core/index.ts'
import { type PeerKey, rawKeyOf } from '../../src/identity/index.ts'
import { create, decode, meshPb, toBinary } from '../../src/wire/index.ts'
import { connection, type Host, type Line, makeHost, until } from './support.ts'

const PROBE = '/warren/probe/1'
const MAX_BYTES = 64

interface Watched extends Host {
  readonly failures: FailureService
  readonly suspects: Set<PeerKey>
  /** Every word of the detector, in order. */
  readonly verdicts: Array<readonly [PeerKey, boolean]>
}

/** Hosts in a full mesh, each of which watches the others. */
async function startWatched(t: TestContext, count: number): Promise<Watched[]> {
  const hosts: Watched[] = []
  const peers = new Map<PeerKey, string>()
  for (let at = 0; at < count; at += 1) {
    const [first] = hosts
    const bootstrap = first === undefined ? [] : first.mesh.addresses()
    const host = await makeHost(t, `m${at}`, { bootstrap })
    peers.set(host.mesh.peer, host.machine)
    const suspects = new Set<PeerKey>()
    const verdicts: Array<readonly [PeerKey, boolean]> = []
    const failures = new FailureService({
      mesh: host.mesh,
      members: () => [...peers.keys()].filter(peer => peer !== host.mesh.peer),
      isMember: peer => peer !== host.mesh.peer && peers.has(peer),
      machineOf: peer => peers.get(peer),
      suspect: (peer, suspected) => {
        verdicts.push([peer, suspected])
        if (suspected) suspects.add(peer)
        else suspects.delete(peer)
      },
      clock: systemClock,
      log: recorderOf(host.lines)
    })
    await host.mesh.start()
    t.after(() => failures.stop())
    hosts.push({ ...host, failures, suspects, verdicts })
    for (const other of hosts.slice(0, -1)) {
      other.mesh.addHints(host.mesh.addresses())
      host.mesh.addHints(other.mesh.addresses())
    }
  }
  for (const one of hosts) for (const other of hosts) if (one !== other) await connection(one, other)
  for (const { failures } of hosts) failures.start()
  return hosts
}

function recorderOf(lines: Line[]) {
  const at =
    (level: Line['level']) =>
    (message: string, fields: Line['fields'] = {}) => {
      lines.push({ level, message, fields })
    }
  const log = { error: at('error'), warn: at('warn'), info: at('info'), debug: at('debug'), child: () => log }
  return log
}

async function send(from: Host, to: Host, ask: 'relay' | 'suspected', about: Uint8Array) {
  const request = create(meshPb.ProbeRequestSchema, { ask: { case: ask, value: about } })
  const bytes = toBinary(meshPb.ProbeRequestSchema, request)
  const answer = await from.mesh.request(to.mesh.peer, PROBE, bytes, { maxResponseBytes: MAX_BYTES })
  return decode(meshPb.ProbeResponseSchema, answer, MAX_BYTES)
}

test('a host that ends without a word is suspected by all others, and by nobody once it is back', async t => {
  const hosts = await startWatched(t, 4)
  const last = hosts[3]!
  const others = hosts.slice(0, 3)
  const beganMs = performance.now()
  await last.mesh.stop()
  await until(() => others.every(({ suspects }) => suspects.has(last.mesh.peer)))
  t.diagnostic(`suspected by all others after ${Math.round(performance.now() - beganMs)} ms`)
  for (const { suspects } of others) assert.deepEqual([...suspects], [last.mesh.peer])
  const line = others[0]!.lines.find(({ message }) => message.startsWith('member suspected'))
  assert.equal(line?.fields.machine, 'm3')

  const back = await makeHost(t, 'm3', { key: last.key, bootstrap: others[0]!.mesh.addresses() })
  const again = new FailureService({
    mesh: back.mesh,
    members: () => [],
    isMember: () => false,
    machineOf: () => undefined,
    suspect: () => {},
    clock: systemClock,
    log: recorderOf(back.lines)
  })
  t.after(() => again.stop())
  await back.mesh.start()
  for (const { mesh } of others) back.mesh.addHints(mesh.addresses())
  await until(() => others.every(({ suspects }) => suspects.size === 0))
})

test('a member that reports a healthy one dead, as fast as it can, hides nobody; and the dead are still found', async t => {
  const hosts = await startWatched(t, 5)
  const [hostile, victim, honest, other, dying] = hosts as [Watched, Watched, Watched, Watched, Watched]
  const about = Uint8Array.from(rawKeyOf(victim.mesh.peer))
  const stop = new AbortController()
  const codes = new Set<string>()
  let sent = 0
  const flood = async (to: Host) => {
    while (!stop.signal.aborted) {
      sent += 1
      await send(hostile, to, 'suspected', about).catch((err: unknown) => codes.add(WarrenError.from(err).code))
    }
  }
  const floods = [flood(honest), flood(other)]
  await until(() => codes.has(ErrorCode.LimitExceeded))
  await dying.mesh.stop()
  await until(() => [honest, other, victim].every(({ suspects }) => suspects.has(dying.mesh.peer)))
  stop.abort()
  await Promise.all(floods)
  t.diagnostic(`${sent} hints sent`)
  for (const { verdicts } of [honest, other, victim]) {
    assert.ok(verdicts.every(([peer]) => peer === dying.mesh.peer))
  }
})

test('a helper pings only members, and refuses what is no key', async t => {
  const [a, b, c] = (await startWatched(t, 3)) as [Watched, Watched, Watched]
  assert.equal((await send(a, b, 'relay', rawKeyOf(c.mesh.peer))).reached, true)
  const stranger = await makeHost(t, 'stranger')
  assert.equal((await send(a, b, 'relay', rawKeyOf(stranger.mesh.peer))).reached, false)
  // Itself is no member that it could ask.
  assert.equal((await send(a, b, 'relay', rawKeyOf(b.mesh.peer))).reached, false)
  await assert.rejects(send(a, b, 'relay', new Uint8Array(31)), { code: ErrorCode.MessageMalformed })
  await assert.rejects(
    a.mesh.request(b.mesh.peer, PROBE, new Uint8Array(MAX_BYTES + 1), { maxResponseBytes: MAX_BYTES })
  )
})
