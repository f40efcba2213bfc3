// `npm run demo`: the main job, on one machine, as any user. Exits with 0 only if all of it happened.

import type { Ended, Running } from '../examples/support/running.ts'
import { expect, type Host, type Stage, story } from '../examples/support/stage.ts'

const SERVER = 'dev.web.hello.default'
const CLIENT = 'dev.shop.cart.default'
const CONNECT = ['connect', SERVER, '--as', CLIENT]
// Two hosts on one machine: ports of their own on loopback, and no search of the LAN.
const PRETEND = ['--listen', '127.0.0.1:0', '--data-listen', '127.0.0.1:0', '--advertise', '127.0.0.1', '--no-mdns']

await story(async stage => {
  const a = stage.host('a')
  const b = stage.host('b')
  stage.narrate('Two hosts, a and b, both pretended on this machine. For that, each `warren up` below also gets:')
  process.stdout.write(`    ${PRETEND.join(' ')}\n    --state-dir and --runtime-dir in ${stage.directory}\n`)

  stage.narrate('Host a founds a trust domain, and admits b by a token that works once.')
  const agentA = await stage.up(a, ['--init', 'demo.example', '--name', 'a'], PRETEND)
  const token = succeeded(await stage.run(a, ['token', 'create', 'b'])).stdout.trim()
  const agentB = await stage.up(b, ['--join', token], PRETEND)

  stage.narrate('A server on a. It registers an address; it needs no port, no key and no certificate.')
  const server = stage.start(a, ['serve', SERVER])
  await server.says(/serving/)

  stage.narrate('A client on b. Nothing is allowed yet, so it is refused.')
  const refused = await stage.run(b, CONNECT, 'hello?')
  expect(refused.code === 1 && refused.stderr.includes('UNAUTHORIZED'), 'the connection is refused before the rule')

  stage.narrate('One rule allows it. The policy is signed on a, and spreads automatically.')
  succeeded(await stage.run(a, ['allow', CLIENT, SERVER]))
  await policySpread(stage, a, b)
  const flow = await converse(stage, [b, a], server)
  const flows = succeeded(await stage.run(a, ['flows']))
  expect(flows.stdout.includes(CLIENT) && flows.stdout.includes(SERVER), 'the live flow is listed')

  stage.narrate('The opposite rule cuts that conversation on both hosts, though it is under way.')
  const enteredMs = performance.now()
  const cut = flow.ended.then(({ code }) => ({ code, afterMs: Math.round(performance.now() - enteredMs) }))
  succeeded(await stage.run(a, ['deny', CLIENT, SERVER]))
  const { code, afterMs } = await within(10_000, cut, 'the live flow is cut by the rule')
  expect(code === 1, 'the client whose flow is cut fails')
  stage.narrate(
    `It was cut ${afterMs} ms after Enter, most of which is the start of the command. And a new one is refused:`
  )
  const again = await stage.run(b, CONNECT, 'hello?')
  expect(again.code === 1 && again.stderr.includes('UNAUTHORIZED'), 'a new connection is refused after the rule')

  stage.narrate('The server ends, and its address is gone from both hosts. Then the agents end.')
  expect((await server.stop()).code === 0, 'the server ends cleanly')
  const left = succeeded(await stage.run(b, ['services', SERVER]))
  expect(!left.stdout.includes(SERVER), 'the address is gone from the other host')
  for (const agent of [agentB, agentA]) expect((await agent.stop()).code === 0, 'an agent ends cleanly')
})

/** A few words each way; the connection stays open. */
async function converse(stage: Stage, [client, host]: [Host, Host], server: Running): Promise<Running> {
  const flow = stage.start(client, CONNECT)
  await flow.says(/connected to/)
  stage.type(client, flow, 'hello from b')
  await server.says(/^hello from b$/m)
  stage.type(host, server, 'hello from a')
  await flow.says(/^hello from a$/m)
  return flow
}

/** A person would not be fast enough to notice; a program can be. */
async function policySpread(stage: Stage, from: Host, to: Host): Promise<void> {
  const { policyVersion } = await stage.status(from)
  await stage.until(
    'the policy reaches the other host',
    async () => (await stage.status(to)).policyVersion >= policyVersion
  )
}

function succeeded(ended: Ended): Ended {
  expect(ended.code === 0, `a command succeeds (it ended with ${ended.code})\n${ended.stderr}`)
  return ended
}

async function within<T>(ms: number, promise: Promise<T>, what: string): Promise<T> {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => late.reject(new Error(`this did not happen within ${ms} ms: ${what}`)), ms)
  try {
    return await Promise.race([promise, late.promise])
  } finally {
    clearTimeout(timer)
  }
}
