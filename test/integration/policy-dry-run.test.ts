import assert from 'node:assert/strict'
import { once } from 'node:events'
import test from 'node:test'
import { AgentClient, connect, listen, type MeshSocket } from '../../src/client/index.ts'
import { apiPb } from '../../src/wire/index.ts'
import { IS_LONG, scopeOf, settled, TestAgent, waitFor } from '../harness/index.ts'

// Two halves, so that each stays within its time on a busy machine.
const CHANGES = IS_LONG ? 100 : 30
const SEEDS = [20_301, 7]
const SERVERS = ['dev.web.a.r', 'dev.db.a.r', 'prod.web.a.r']
const SOURCES = ['dev.shop.a.r', 'dev.guest.a.r', 'prod.ops.a.r']
const SCOPES = ['*', 'dev', 'prod', '{dev,prod}']
const GROUPS = ['*', 'web', 'db', 'shop', 'guest', '{web,ops}', '{db,guest}']

/** Numbers that look random and are the same in each run. */
function numbers(seed: number): (below: number) => number {
  let state = seed
  return below => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff
    return (state >> 8) % below
  }
}

for (const seed of SEEDS)
  test(`for ${CHANGES} random changes a dry run names exactly the flows that the change then cuts (seed ${seed})`, async t => {
    const scope = scopeOf(t)
    const agent = new TestAgent(scope, { name: 'a', args: [] })
    await agent.start(['--init', 'example.org'])
    const client = new AgentClient({ runtimeDir: agent.runtimeDir })
    scope.defer(() => void client.close())
    const next = numbers(seed)
    const pick = <T>(list: readonly T[]): T => list[next(list.length)] as T
    const pattern = (): string => `${pick(SCOPES)}.${pick(GROUPS)}.*.*`
    const rule = (effect: string, source: string, destination: string) => ({
      effect,
      source,
      destination,
      protocols: pick([[], [], [], [apiPb.Protocol.TCP], [apiPb.Protocol.UDP]])
    })
    const open = { effect: 'allow', source: '{dev,prod}.*.*.*', destination: '{dev,prod}.*.*.*' }
    const everything = { rules: { rules: [open] }, entries: { entries: [] }, strict: false }
    const uid = process.getuid?.() ?? 0

    const change = () => {
      const effects = ['allow', 'allow', 'allow', 'deny', 'audit']
      const rules = Array.from({ length: 1 + next(5) }, () => rule(pick(effects), pattern(), pattern()))
      const distinct = new Map(rules.map(one => [`${one.source} ${one.destination} ${one.protocols}`, one]))
      const isStrict = next(4) === 0
      const grants = pick(['dev.*.*.*', '{dev,prod}.{web,shop}.*.*', '*.*.*.*'])
      return {
        // Without the rule that allows everything, half of the time.
        rules: { rules: [...distinct.values(), ...(next(2) === 0 ? [open] : [])] },
        entries: { entries: isStrict ? [{ uid, grants }] : [] },
        strict: isStrict
      }
    }

    const serve = (address: string) =>
      listen(address, { client }, socket => {
        socket.on('error', () => {})
        socket.pipe(socket)
      })
    const sockets = new Map<string, MeshSocket>()
    const idOf = (socket: MeshSocket): string => socket.peer.flowId
    const flowIds = async (): Promise<string[]> => (await client.admin.listFlows({})).flows.map(({ id }) => id)
    for (const server of SERVERS) await serve(server)

    let cuts = 0
    let ends = 0
    for (let count = 0; count < CHANGES; count += 1) {
      await client.admin.applyPolicy({ document: everything, prune: true })
      const { services } = await client.workload.listServices({ pattern: '' })
      const known = new Set(services.filter(({ protocols }) => protocols.length > 0).map(({ address }) => address))
      for (const server of SERVERS) if (!known.has(`${server}.a`)) await serve(server)
      const pairs = SOURCES.flatMap(source => SERVERS.map(server => ({ source, server, key: `${source} ${server}` })))
      const openPair = async ({ source, server, key }: (typeof pairs)[number]): Promise<void> => {
        const socket = await connect(server, { client, as: source })
        socket.on('error', () => {})
        sockets.set(key, socket)
      }
      await Promise.all(pairs.filter(({ key }) => !sockets.has(key)).map(openPair))
      const document = change()
      const dry = await client.admin.applyPolicy({ document, prune: true, dryRun: true })
      const predicted = new Set((dry.consequences?.flows ?? []).map(({ flow }) => flow?.id ?? ''))
      assert.equal(dry.consequences?.flows.length, predicted.size)
      assert.equal((await flowIds()).length, sockets.size, 'a dry run cuts nothing')
      const { version } = await client.admin.applyPolicy({ document, prune: true })
      assert.ok(version > dry.version)
      await waitFor(async () => (await flowIds()).every(id => !predicted.has(id)), 'the named flows to end')
      ends += dry.consequences?.registrations.length ?? 0
      for (const [key, socket] of sockets) if (predicted.has(idOf(socket))) sockets.delete(key)
      cuts += predicted.size
      // What was not named carries bytes both ways.
      const echo = async ([key, socket]: readonly [string, MeshSocket]): Promise<void> => {
        const answer = once(socket, 'data')
        socket.write(`${count}`)
        const [bytes] = (await settled(answer, `${key} after change ${count}`, 20_000)) as [Buffer]
        assert.equal(bytes.toString(), `${count}`)
      }
      await Promise.all([...sockets].map(echo))
      assert.equal((await flowIds()).length, sockets.size)
    }
    t.diagnostic(`${cuts} flows cut by ${CHANGES} changes, ${ends} registrations ended`)
    assert.ok(cuts > CHANGES / 2 && ends > 0)
  })
