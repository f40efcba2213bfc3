import assert from 'node:assert/strict'
import test from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { GossipSub, GossipSubComponents, GossipsubOpts, gossipsub } from '@libp2p/gossipsub'
import type {
  Connection,
  MessageStream,
  Startable,
  Stream,
  StreamHandler,
  Topology,
  Transport
} from '@libp2p/interface'
import { noise } from '@libp2p/noise'
import { peerIdFromString } from '@libp2p/peer-id'
import { tcp } from '@libp2p/tcp'
import { multiaddrConnectionPair, streamPair } from '@libp2p/utils'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { peerKeyOf } from '../../src/identity/index.ts'
import { gossipService } from '../../src/mesh/gossip/gossip-service.ts'
import { PacedRegistrar } from '../../src/mesh/gossip/paced-registrar.ts'
import { libp2pLogger } from '../../src/mesh/libp2p-log.ts'
import { gatherWrites, gatherWritesTest } from '../../src/mesh/libp2p-shims/gather-writes.ts'
import { verdictsOf } from '../../src/mesh/libp2p-shims/gossip-verdicts.ts'
import { pingTest } from '../../src/mesh/libp2p-shims/pinger.ts'
import { quietDecoderTest } from '../../src/mesh/libp2p-shims/quiet-decoder.ts'
import { runSelfTests, type SelfTest } from '../../src/mesh/libp2p-shims/self-test.ts'
import { StagedSockets, stagedSocketsTest } from '../../src/mesh/libp2p-shims/staged-sockets.ts'
import { gatherWindowUpdates, windowUpdatesTest } from '../../src/mesh/libp2p-shims/window-updates.ts'
import { recorder, until } from './support.ts'

const { log } = recorder()
const logger = libp2pLogger(log)
const PEER = peerIdFromString(peerKeyOf(new Uint8Array(32).fill(7)))

const multiplexers = () => yamux({ enableKeepAlive: false })()
type Muxer = ReturnType<ReturnType<typeof multiplexers>['createStreamMuxer']>

/** A factory whose multiplexers `change` has altered. */
function altered(change: (muxer: Muxer) => void) {
  const factory = multiplexers()
  const make = factory.createStreamMuxer.bind(factory)
  return Object.assign(factory, {
    createStreamMuxer: (connection: MessageStream) => {
      const muxer = make(connection)
      change(muxer)
      return muxer
    }
  })
}

/** A transport whose connections show no socket. */
function withoutSockets(): Transport {
  const transport = tcp()({ logger })
  const dial = transport.dial.bind(transport)
  return Object.assign(transport, {
    dial: async (...[address, options]: Parameters<Transport['dial']>) => {
      const upgradeOutbound: typeof options.upgrader.upgradeOutbound = (raw, rest) => {
        const hidden = new Proxy(raw, {
          get: (target, name) => {
            const member: unknown = Reflect.get(target, name)
            return name === 'socket' ? undefined : typeof member === 'function' ? member.bind(target) : member
          }
        })
        return options.upgrader.upgradeOutbound(hidden, rest)
      }
      return await dial(address, { ...options, upgrader: { ...options.upgrader, upgradeOutbound } })
    }
  })
}

/** Noise whose connections show no decoder. */
const withoutDecoders: ReturnType<typeof noise> = components => {
  const encrypter = noise()(components)
  const secureInbound = encrypter.secureInbound.bind(encrypter)
  return Object.assign(encrypter, {
    secureInbound: async (...args: Parameters<typeof secureInbound>) => {
      const secured = await secureInbound(...args)
      Object.assign(secured.connection, { decoder: undefined })
      return secured
    }
  })
}

async function warningsOf(selfTest: SelfTest): Promise<string[]> {
  const { log, lines } = recorder()
  await runSelfTests([selfTest], log)
  return lines.map(({ level, fields }) => `${level} ${fields.component} ${fields.reason}`)
}

test('the libraries that are installed are inside as every shim expects', async () => {
  const tests = [
    gatherWritesTest(tcp()({ logger })),
    stagedSocketsTest(tcp()({ logger })),
    quietDecoderTest(noise(), { logger }),
    windowUpdatesTest(multiplexers()),
    pingTest(multiplexers())
  ]
  for (const one of tests) assert.equal(await one.run(AbortSignal.timeout(30_000)), undefined, one.library)
})

test('a TCP connection without a socket is reported once, and is written to as it is', async () => {
  assert.deepEqual(await warningsOf(gatherWritesTest(withoutSockets())), [
    'warn @libp2p/tcp a connection does not show its socket; frames are sent one by one, which costs more processor time'
  ])
  const [near] = multiaddrConnectionPair()
  gatherWrites(near)
  assert.equal(Object.hasOwn(near, 'write'), false)
})

test('a transport that connects in another way is reported once, and dials as it does', async () => {
  const transport = Object.assign(tcp()({ logger }), { _connect: undefined })
  assert.deepEqual(await warningsOf(stagedSocketsTest(transport)), [
    'warn @libp2p/tcp a transport connects in another way; each dial of a host connects twice'
  ])
  assert.equal(new StagedSockets().watch(transport), transport)
})

test('an encrypted connection without a decoder is reported once', async () => {
  assert.deepEqual(await warningsOf(quietDecoderTest(withoutDecoders, { logger })), [
    'warn @libp2p/noise an encrypted connection does not show its decoder; every packet creates an error, which costs processor time'
  ])
})

test('multiplexers that make streams in another way, or streams without windows, are reported once', async () => {
  const without = 'each frame of data is answered by a frame, which costs more processor time'
  const noHooks = altered(muxer => Object.assign(muxer, { onRemoteStream: undefined }))
  assert.deepEqual(await warningsOf(windowUpdatesTest(noHooks)), [
    `warn @libp2p/yamux a multiplexer makes its streams in another way; ${without}`
  ])
  const noWindows = altered(muxer => {
    const create = muxer.onCreateStream.bind(muxer)
    Object.assign(muxer, { onCreateStream: () => Object.assign(create(), { recvWindow: undefined }) })
  })
  assert.deepEqual(await warningsOf(windowUpdatesTest(noWindows)), [
    `warn @libp2p/yamux a stream does not show its windows; ${without}`
  ])
})

test('a multiplexer that is not as expected is left as it is', async () => {
  const [near] = multiaddrConnectionPair()
  const noHooks = altered(muxer => Object.assign(muxer, { onRemoteStream: undefined }))
  assert.equal(Object.hasOwn(gatherWindowUpdates(noHooks).createStreamMuxer(near), 'onCreateStream'), false)
  const noWindows = altered(muxer => {
    const create = muxer.onCreateStream.bind(muxer)
    Object.assign(muxer, { onCreateStream: () => Object.assign(create(), { recvWindow: undefined }) })
  })
  const stream = gatherWindowUpdates(noWindows).createStreamMuxer(near).onCreateStream()
  await nextTurn()
  assert.equal(Object.hasOwn(stream, 'sendWindowUpdate'), false)
})

test('a connection that closes in the turn in which a stream is opened does not end the process', async () => {
  const [near] = multiaddrConnectionPair()
  const muxer = gatherWindowUpdates(multiplexers()).createStreamMuxer(near)
  muxer.onCreateStream()
  near.abort(new Error('gone'))
  await nextTurn()
})

test('a mesh does not start on a multiplexer that cannot ping, or whose pings fail', async () => {
  const noPing = altered(muxer => Object.assign(muxer, { ping: undefined }))
  await assert.rejects(runSelfTests([pingTest(noPing)], log), { code: 'UNSUPPORTED', message: /cannot ping/ })
  const failing = altered(muxer => Object.assign(muxer, { ping: () => Promise.reject(new Error('no pings any more')) }))
  await assert.rejects(runSelfTests([pingTest(failing)], log), { code: 'UNSUPPORTED', message: /no pings any more/ })
})

/** The components of gossipsub, with a registrar that keeps the handlers. */
function components() {
  const handlers = new Map<string, StreamHandler>()
  const topologies: Topology[] = []
  const registrar = {
    handle: async (protocol: string, handler: StreamHandler) => {
      handlers.set(protocol, handler)
    },
    unhandle: async () => {},
    register: async (_: string, topology: Topology) => String(topologies.push(topology)),
    unregister: () => {}
  }
  const rest = { logger, peerId: PEER, privateKey: {}, peerStore: { merge: async () => {} }, connectionManager: {} }
  return { handlers, topologies, components: { ...rest, registrar } as unknown as GossipSubComponents }
}

test('a gossipsub that takes no verdicts is reported, and made so that it passes messages on at once', () => {
  const { log, lines } = recorder()
  const options: Array<Partial<GossipsubOpts>> = []
  const make: typeof gossipsub = given => {
    options.push(given ?? {})
    return () => ({}) as GossipSub
  }
  const paced = new PacedRegistrar({ onFull: () => {}, log })
  gossipService({ trustDomain: 'mesh.test', paced, log, make })(components().components)
  assert.deepEqual(
    options.map(({ asyncValidation }) => asyncValidation),
    [true, undefined]
  )
  assert.deepEqual(
    lines.map(({ level, fields }) => [level, fields.component]),
    [['warn', '@libp2p/gossipsub']]
  )
  const real = gossipService({ trustDomain: 'mesh.test', paced, log: recorder().log })(components().components)
  assert.notEqual(verdictsOf(real), undefined)
})

test('a gossipsub that does not take its streams from the registrar is refused', () => {
  const paced = new PacedRegistrar({ onFull: () => {}, log })
  paced.wrap(components().components.registrar)
  assert.throws(() => paced.start(), { code: 'UNSUPPORTED' })
})

test('a stream that gossipsub does not read in turns is cut off, and that is reported once', async () => {
  const { log, lines } = recorder()
  const { handlers, components: own } = components()
  const paced = new PacedRegistrar({ onFull: () => {}, log })
  await paced.wrap(own.registrar).handle('/meshsub/1.2.0', () => {})
  const open = async (): Promise<Stream> => {
    const [, far] = await streamPair()
    void handlers.get('/meshsub/1.2.0')?.(far as Stream, { remotePeer: PEER } as Connection)
    await nextTurn()
    await nextTurn()
    return far as Stream
  }
  assert.notEqual((await open()).status, 'open')
  assert.equal(lines.length, 0, 'not while gossipsub is starting')
  paced.start()
  for (let round = 0; round < 3; round += 1) assert.notEqual((await open()).status, 'open')
  assert.deepEqual(
    lines.map(({ level, fields }) => [level, fields.component]),
    [['warn', '@libp2p/gossipsub']]
  )
})

test('gossipsub opens a stream anew when its topology is told of a connection whose stream was lost', async () => {
  const { topologies, components: own } = components()
  const paced = new PacedRegistrar({ onFull: () => {}, log })
  const pubsub = gossipService({ trustDomain: 'mesh.test', paced, log })(own)
  const { start, stop } = pubsub as GossipSub & Required<Startable>
  await start.call(pubsub)
  paced.start()
  try {
    const opened: Stream[] = []
    const connection = {
      remotePeer: PEER,
      status: 'open',
      direction: 'outbound',
      remoteAddr: multiaddr('/ip4/192.0.2.1/tcp/1'),
      newStream: async () => {
        const [near] = await streamPair({ protocol: '/meshsub/1.2.0' })
        opened.push(near as Stream)
        return near
      }
    } as unknown as Connection
    const tell = (): void => {
      for (const topology of topologies) topology.onConnect?.(PEER, connection)
    }
    tell()
    await until(() => opened.length === 1)
    tell()
    opened[0]?.abort(new Error('lost'))
    tell()
    await until(() => opened.length === 2)
  } finally {
    await stop.call(pubsub)
  }
})
