import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { test } from 'node:test'
import { descriptorOf, ErrorCode, silentLogger, systemClock, WarrenError } from '../../../src/core/index.ts'
import { AdoptedFlows, type AdoptedFlowsOptions } from '../../../src/proxy/adopted-flows.ts'
import { duplicator } from '../../../src/proxy/fastpath/index.ts'
import { HandedFlows, type LeftFlow } from '../../../src/proxy/handed-flows.ts'

const skip = duplicator() === undefined && 'for Linux'
const KEY = 'a-session.1.0'
const LEFT = {
  id: 'f',
  direction: 'inbound',
  source: 'dev.test.client.default.alpha',
  sourceMachine: 'alpha',
  destination: 'dev.test.server.default.beta',
  destinationId: '00',
  key: KEY,
  machine: 'alpha'
} as unknown as LeftFlow

/** A flow that the process before has left, whose other host is known; it is refused when it is decided. */
async function adopted(t: { readonly after: (fn: () => void) => void }, hasHeardBeside: () => boolean) {
  const server = createServer(socket => socket.on('error', () => {}))
  t.after(() => void server.close())
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const socket: Socket = connect((server.address() as { readonly port: number }).port, '127.0.0.1')
  t.after(() => void socket.destroy())
  await once(socket, 'connect')
  const fd = duplicator()?.(descriptorOf(socket)) ?? -1
  const stopping = new AbortController()
  t.after(() => stopping.abort())
  const handed = new HandedFlows(silentLogger)
  const decided = Promise.withResolvers<void>()
  let isDecided = false
  const flows = new AdoptedFlows({
    deps: {
      directory: { peerOf: () => 'peer', sourceAt: () => true, hasHeardBeside },
      local: { hold: () => () => {} },
      resumeWindowMs: 30_000,
      log: silentLogger,
      clock: systemClock
    },
    flows: {
      enter: () => {
        isDecided = true
        decided.resolve()
        throw new WarrenError(ErrorCode.LimitExceeded, 'no room')
      }
    },
    handed,
    resuming: {},
    stopping: stopping.signal
  } as unknown as AdoptedFlowsOptions)
  flows.take({ data: [LEFT], descriptors: [fd], bytes: [Buffer.alloc(0)] })
  assert.equal(flows.begin(), 1)
  return { flows, handed, decided: decided.promise, isDecided: () => isDecided }
}

test('a flow is not decided before a member besides its other host has said which policy is in force', {
  skip
}, async t => {
  let hasHeard = false
  let looks = 0
  const looked = Promise.withResolvers<void>()
  const flow = await adopted(t, () => {
    looks += 1
    if (looks === 3) looked.resolve()
    return hasHeard
  })
  await looked.promise
  assert.equal(flow.isDecided(), false)
  hasHeard = true
  await flow.decided
})

test('a flow is decided by what is known when no member besides its other host answers', { skip }, async t => {
  await (await adopted(t, () => false)).decided
})

test('an attempt to continue a flow waits until it is decided, and one for another flow does not', {
  skip
}, async t => {
  let hasHeard = false
  const { handed, isDecided } = await adopted(t, () => hasHeard)
  await handed.decided('another.1.0')
  assert.equal(isDecided(), false)
  const waiting = handed.decided(KEY)
  hasHeard = true
  await waiting
  assert.deepEqual([isDecided(), handed.isUnderWay(KEY)], [true, false])
})

test('what can wait waits for flows of the process before until each has a path or is over, and not for ever', {
  skip
}, async t => {
  let hasHeard = false
  const { flows } = await adopted(t, () => hasHeard)
  await flows.carried(1)
  let isCarried = false
  const carried = flows.carried(60_000).then(() => {
    isCarried = true
  })
  await flows.carried(1)
  assert.equal(isCarried, false)
  hasHeard = true
  await carried
})

test('flows precede the mesh only where each was on the data ports, and nobody else has to be heard', () => {
  const canContinueAlone = (left: readonly Partial<LeftFlow>[], hasHeardBeside = true, isMember = true): boolean => {
    const flows = new AdoptedFlows({
      deps: {
        directory: {
          peerOf: () => (isMember ? 'peer' : undefined),
          sourceAt: () => true,
          hasHeardBeside: () => hasHeardBeside
        }
      },
      handed: new HandedFlows(silentLogger)
    } as unknown as AdoptedFlowsOptions)
    const data = left.map(one => ({ ...LEFT, ...one }))
    flows.take({ data, descriptors: data.map(() => 0), bytes: data.map(() => Buffer.alloc(0)) })
    return flows.canContinueAlone
  }
  const direct = { carrier: 'direct' }
  assert.equal(canContinueAlone([direct, { carrier: 'fastpath' }]), true)
  assert.equal(canContinueAlone([direct, { carrier: 'relay' }]), false)
  assert.equal(canContinueAlone([direct, { carrier: 'waiting' }]), false)
  // From an older program.
  assert.equal(canContinueAlone([LEFT]), false)
  assert.equal(canContinueAlone([direct], false), false)
  assert.equal(canContinueAlone([direct], true, false), false)
  assert.equal(canContinueAlone([]), false)
})
