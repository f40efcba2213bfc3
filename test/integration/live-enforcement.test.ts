import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import test, { type TestContext } from 'node:test'
import { localCall, Program, type Scope, scopeOf, settled, startPair, TestAgent } from '../harness/index.ts'
import { Framed } from '../proxy/support/datagrams.ts'
import { dial, readBytes } from '../proxy/support/sockets.ts'

const BOUND_MS = 2_000
/** A test machine may be busy. */
const SLACK = 5
const PROTOCOLS = ['tcp', 'udp'] as const
type Protocol = (typeof PROTOCOLS)[number]

async function call<T>(agent: TestAgent, method: string, body: unknown): Promise<T> {
  const answer = await localCall(agent.socket, `WorkloadService/${method}`, body)
  assert.equal(answer.status, 200, JSON.stringify(answer.body))
  return answer.body as T
}

/** Servers of one address on one host, by TCP and UDP, that answer with what they got. */
async function serve(scope: Scope, agent: TestAgent, address: string, whitelist: readonly string[] = []) {
  const tcp = createServer(socket => socket.on('error', () => {}).pipe(socket)).listen(0, '127.0.0.1')
  await once(tcp, 'listening')
  const udp = createSocket('udp4').on('message', (payload, { port, address: host }) => udp.send(payload, port, host))
  udp.bind(0, '127.0.0.1')
  await once(udp, 'listening')
  scope.defer(() => {
    tcp.close()
    udp.close()
  })
  const targets = { tcp: `127.0.0.1:${(tcp.address() as AddressInfo).port}`, udp: `127.0.0.1:${udp.address().port}` }
  const register = async (allowed: readonly string[]): Promise<string[]> => {
    const tokens: string[] = []
    for (const protocol of PROTOCOLS) {
      const request = { address, target: { [protocol]: targets[protocol] }, whitelist: allowed, ownerPid: process.pid }
      tokens.push((await call<{ token: string }>(agent, 'Register', request)).token)
    }
    return tokens
  }
  return { register, tokens: await register(whitelist) }
}

/** A flow of either protocol that has carried something, as a workload without the library has it. */
class Live {
  readonly socket: Socket
  readonly #framed: Framed | undefined
  readonly closed: Promise<unknown>

  private constructor(socket: Socket, framed: Framed | undefined) {
    this.socket = socket.on('error', () => {})
    this.#framed = framed
    this.closed = Promise.race([once(socket, 'end'), once(socket, 'close')]).catch(() => {})
  }

  static async open(agent: TestAgent, token: string, destination: string, protocol: Protocol): Promise<Live> {
    const request = { token, destination, protocol: `PROTOCOL_${protocol.toUpperCase()}` }
    const socket = await dial((await call<{ path: string }>(agent, 'Connect', request)).path)
    const live = new Live(socket, protocol === 'udp' ? new Framed(socket) : undefined)
    await live.echo('hello')
    return live
  }

  async echo(word: string): Promise<void> {
    if (this.#framed !== undefined) {
      await this.#framed.sendUntilHeard(this.#framed, word)
      return
    }
    this.socket.write(word)
    assert.equal((await readBytes(this.socket, word.length)).toString(), word)
    this.socket.resume()
  }
}

interface Case {
  readonly name: string
  readonly agent?: TestAgent
  readonly destination?: string
  readonly ownerPid?: number
  /** Before its flows are opened. */
  readonly prepare?: (token: string) => Promise<void>
  readonly forbid: (token: string) => Promise<unknown>
  /** In the log of the agent that cuts, and of the other. */
  readonly reason: RegExp
}

test('each cause cuts exactly the flows that it forbids, of TCP and of UDP, and both logs say why', async t => {
  const scope = scopeOf(t)
  const [a, b] = await startPair(scope)
  const c = new TestAgent(scope, { name: 'c', args: [] })
  await c.start(['--join', await a.token('c')])
  const site = 'dev.web.site.default'
  await serve(scope, a, site)
  const leaving = await serve(scope, a, 'dev.web.leaving.default')
  const picky = await serve(scope, a, 'dev.picky.site.default', ['dev.shop.listed.*'])
  const as = (name: string): string => `dev.shop.${name}.default`
  const allow = async (name: string, ...more: string[]): Promise<string> =>
    (await a.cli('allow', as(name), 'dev.web.*.*', ...more)).trim().split('\n').at(-1) ?? ''
  const sleeper = new Program(scope, ['sleep', '600'])
  let rule = ''
  const cases: readonly Case[] = [
    {
      name: 'denied',
      prepare: async () => void (await allow('denied')),
      forbid: () => a.cli('deny', as('denied'), 'dev.web.*.*'),
      reason: /no longer allowed/
    },
    {
      name: 'unruled',
      prepare: async () => {
        rule = await allow('unruled')
      },
      forbid: () => a.cli('policy', 'remove', rule),
      reason: /no longer allowed/
    },
    {
      name: 'timed',
      prepare: async () => void (await allow('timed', '--until', '4s')),
      forbid: async () => {},
      reason: /no longer allowed/
    },
    {
      name: 'revoked',
      prepare: async () => void (await allow('revoked')),
      forbid: () => a.cli('revoke', 'dev.shop.revoked.*'),
      reason: /is revoked|no longer allowed|registration/
    },
    {
      name: 'left',
      prepare: async () => void (await allow('left')),
      forbid: token => call(b, 'Deregister', { token }),
      reason: /registration ended: deregistered|gone: it is no longer|a registration ended/
    },
    {
      name: 'ended',
      ownerPid: sleeper.pid,
      prepare: async () => void (await allow('ended')),
      forbid: async () => sleeper.signal('SIGKILL'),
      reason: /registration ended: process ended|gone: it is no longer|a registration ended/
    },
    {
      name: 'served',
      destination: 'dev.web.leaving.default',
      prepare: async () => void (await allow('served')),
      forbid: () => Promise.all(leaving.tokens.map(token => call(a, 'Deregister', { token }))),
      reason: /registration ended: deregistered|gone: it is no longer|a registration ended/
    },
    {
      name: 'listed',
      destination: 'dev.picky.site.default',
      // As a server does that starts again with another list.
      forbid: async () => {
        await picky.register(['dev.shop.other.*'])
        for (const token of picky.tokens) await call(a, 'Deregister', { token })
      },
      reason: /registration ended: deregistered|gone: it is no longer|a registration ended/
    },
    {
      name: 'evicted',
      agent: c,
      prepare: async () => void (await allow('evicted')),
      forbid: () => a.cli('evict', 'c'),
      reason: /no longer trusted|gone|registration|link/
    }
  ]
  await allow('good')
  for (const agent of [b, c]) {
    await agent.follows(a)
    for (const address of [site, 'dev.web.leaving.default', 'dev.picky.site.default']) await agent.knows(address)
  }
  const sourceOf = async (agent: TestAgent, name: string, ownerPid = process.pid): Promise<string> =>
    (await call<{ token: string }>(agent, 'Register', { address: as(name), ownerPid })).token
  const flowsOf = (agent: TestAgent, token: string, destination: string): Promise<Live[]> =>
    Promise.all(PROTOCOLS.map(protocol => Live.open(agent, token, destination, protocol)))
  const good = await flowsOf(b, await sourceOf(b, 'good'), site)

  for (const one of cases) await enforce(t, one)
  for (const live of good) await live.echo('as if nothing had been')

  async function enforce(
    context: TestContext,
    { name, agent = b, destination = site, ownerPid, prepare, forbid, reason }: Case
  ) {
    const token = await sourceOf(agent, name, ownerPid)
    await prepare?.(token)
    await agent.follows(a)
    const flows = await flowsOf(agent, token, destination)
    const openMs = performance.now()
    await forbid(token)
    const forbiddenMs = performance.now()
    const tooks = await Promise.all(
      flows.map(async ({ closed }, at) => {
        await settled(closed, `the ${PROTOCOLS[at]} flow of ${name} to be cut`)
        return Math.max(0, Math.round(performance.now() - forbiddenMs))
      })
    )
    context.diagnostic(`${name}: tcp ${tooks[0]} ms, udp ${tooks[1]} ms after it was forbidden`)
    // The time that it may yet live is part of that rule.
    const bound = BOUND_MS * SLACK + (name === 'timed' ? 4_000 : 0)
    assert.ok(performance.now() - openMs < bound + forbiddenMs - openMs)
    for (const protocol of PROTOCOLS) {
      const line = new RegExp(
        `"source":"${as(name).replaceAll('.', '\\.')}.*"protocol":"${protocol}".*"reason":"[^"]*(?:${reason.source}).*"flow ended"`
      )
      await a.program.says(line, 'stderr')
      await agent.program.says(line, 'stderr')
    }
    for (const live of good) await live.echo(name)
  }
})
