import assert from 'node:assert/strict'
import { closeSync, openSync, readFileSync, readSync } from 'node:fs'
import test from 'node:test'
import {
  asRoot,
  Capture,
  createHosts,
  type Host,
  needsCommand,
  type Program,
  type Scope,
  scopeOf,
  TestAgent,
  waitFor
} from '../harness/index.ts'
import { register } from './support/mesh-of-hosts.ts'

const SITE = 'dev.web.site.default'
const NAMES = ['quokka', 'numbat', 'wombat'] as const

interface Three {
  readonly hosts: readonly [Host, Host, Host]
  readonly agents: readonly [TestAgent, TestAgent, TestAgent]
}

/** Three members, of which the last founded the mesh. `cut` keeps the first two from each other from the beginning. */
async function startThree(scope: Scope, cut: boolean): Promise<Three> {
  const hosts = await createHosts(scope, ...NAMES)
  const [left, right, middle] = hosts
  if (cut) left.cut(right)
  const c = new TestAgent(scope, { name: NAMES[2], args: ['--no-mdns'], host: middle })
  await c.start(['--init', 'example.org', '--no-mdns'])
  await c.allow('dev.*.*.*', 'dev.*.*.*')
  const join = async (name: string, host: Host): Promise<TestAgent> => {
    const agent = new TestAgent(scope, { name, args: ['--no-mdns'], host })
    return await agent.start(['--join', await c.token(name), '--no-mdns'])
  }
  const a = await join(NAMES[0], left)
  const b = await join(NAMES[1], right)
  await Promise.all([a.follows(c), b.follows(c)])
  return { hosts, agents: [a, b, c] }
}

async function serve(on: TestAgent, seenBy: TestAgent): Promise<Program> {
  const program = on.spawn(['serve', SITE])
  await program.says(/serving/, 'stderr')
  await seenBy.knows(SITE)
  return program
}

async function converse(server: Program, client: Program, word: string): Promise<void> {
  client.stdin.write(`${word}-there\n`)
  await server.says(new RegExp(`${word}-there`))
  server.stdin.write(`${word}-back\n`)
  await client.says(new RegExp(`${word}-back`))
}

async function carriers(agent: TestAgent): Promise<string[]> {
  const { flows = [] } = JSON.parse(await agent.cli('flows', '--json')) as { flows?: Array<{ carrier: string }> }
  return flows.map(flow => flow.carrier)
}

/** Which of the words stand anywhere in the writable memory of a process. */
function wordsInMemory(pid: number, words: readonly string[]): string[] {
  const found = new Set<string>()
  const memory = openSync(`/proc/${pid}/mem`, 'r')
  const piece = Buffer.alloc(4 * 1024 * 1024)
  const overlap = 64
  try {
    for (const line of readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n')) {
      const [, from, to] = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(line) ?? []
      if (from === undefined || to === undefined) continue
      const end = Number.parseInt(to, 16)
      for (let at = Number.parseInt(from, 16); at < end; at += piece.length - overlap) {
        let read = 0
        try {
          read = readSync(memory, piece, 0, Math.min(piece.length, end - at), at)
        } catch {
          // Mapped, and not readable.
          break
        }
        const bytes = piece.subarray(0, read)
        for (const word of words) if (bytes.includes(word)) found.add(word)
      }
    }
  } finally {
    closeSync(memory)
  }
  return [...found]
}

test(
  'two hosts that cannot reach each other talk through a third, which never holds what they say',
  asRoot,
  async t => {
    if (!needsCommand(t, 'tcpdump') || !needsCommand(t, 'nft')) return
    const scope = scopeOf(t)
    const { hosts, agents } = await startThree(scope, true)
    const [a, b, c] = agents
    const capture = await Capture.on(scope, hosts[2])
    const servedMs = performance.now()
    const server = await serve(a, b)
    t.diagnostic(`registered and known to the other: ${Math.round(performance.now() - servedMs)} ms`)
    // Acknowledgements go over the third as well.
    await waitFor(async () => (await a.status()).members === 3, 'all three to be members')
    const registeringMs = performance.now()
    const { replication } = await register(a, 'dev.web.other.default', 'all')
    t.diagnostic(
      `acknowledged by both: ${Math.round(performance.now() - registeringMs)} ms, with the start of the command`
    )
    assert.deepEqual(replication, { state: 'replicated', acked: 2, required: 2, missing: [] })
    assert.match(await c.cli('metrics'), /warren_registry_acks_relayed_total\{result="delivered"\} [1-9]/)
    const startedMs = performance.now()
    const client = b.spawn(['connect', SITE, '--as', 'dev.echidna.dingo.default'])
    await converse(server, client, 'PAYLOAD')
    t.diagnostic(
      `connect to first answer: ${Math.round(performance.now() - startedMs)} ms, start of the command included`
    )
    assert.deepEqual(await carriers(a), ['relay via wombat'])
    assert.deepEqual(await carriers(b), ['relay via wombat'])
    assert.match(await b.cli('flows'), /relay via wombat/)
    assert.match(
      await b.cli('explain', 'dev.echidna.dingo.default', SITE),
      /relay via wombat: direct .* does not answer/
    )

    // Alive to each other by the word of the third, and no flow goes to a suspect.
    for (const agent of [a, b]) assert.doesNotMatch(await agent.cli('members'), /suspect/)

    const said = ['PAYLOAD-there', 'PAYLOAD-back']
    // That the search finds what is there: its own name.
    assert.deepEqual(wordsInMemory(c.pid, [...said, 'wombat']), ['wombat'])
    const send = `require('node:dgram').createSocket('udp4').send('CONTROL-IN-CLEAR', 9, process.argv[1], () => process.exit())`
    hosts[1].run(process.execPath, '-e', send, hosts[2].ip)
    await capture.holds('CONTROL-IN-CLEAR')
    const packets = await capture.stop()
    const names = [...said, 'echidna', 'dingo', 'quokka', 'numbat', 'wombat', 'spiffe://', SITE]
    assert.deepEqual(
      names.filter(name => packets.includes(name)),
      []
    )
    await c.program.says(/relaying between two members/, 'stderr')
    // What it passes on are TCP connections: a busy flow has one of its own.
    client.stdin.write(`${'much '.repeat(200_000)}\n`)
    await waitFor(async () => (await carriers(b)).includes('relay via wombat fastpath'), 'the flow to move')
    assert.match(await c.cli('metrics'), /warren_mesh_relays_total\{result="joined"\} [1-9]/)
  }
)

test(
  'new flows leave a path that dies for the relay, and return to the direct one when it is back',
  asRoot,
  async t => {
    if (!needsCommand(t, 'nft')) return
    const scope = scopeOf(t)
    const { hosts, agents } = await startThree(scope, false)
    const [a, b] = agents
    await Promise.all([a.sees(2), b.sees(2)])
    const server = await serve(a, b)
    const first = b.spawn(['connect', SITE])
    await converse(server, first, 'first')
    assert.deepEqual(await carriers(b), ['direct'])

    hosts[0].cut(hosts[1])
    const cutMs = performance.now()
    const second = b.spawn(['connect', SITE])
    await second.says(/connected/, 'stderr')
    t.diagnostic(
      `cut to a new flow through the relay: ${Math.round(performance.now() - cutMs)} ms, start of the command included`
    )
    assert.ok((await carriers(b)).includes('relay via wombat'))
    // The flow on the dead path is cut, and not left hanging.
    assert.equal((await first.outcome()).code, 1)

    hosts[0].heal()
    const healedMs = performance.now()
    await waitFor(
      async () => {
        const next = b.spawn(['connect', SITE])
        await next.says(/connected/, 'stderr')
        const now = await carriers(b)
        await next.kill()
        return now.includes('direct')
      },
      'a flow to go directly again',
      90_000
    )
    t.diagnostic(`healed to a new flow that goes directly: ${Math.round(performance.now() - healedMs)} ms`)
    // What went through the relay goes on there.
    second.stdin.write('still there\n')
    await server.says(/still there/)
  }
)
