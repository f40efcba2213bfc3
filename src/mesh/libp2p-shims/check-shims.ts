import { noise } from '@libp2p/noise'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { detach, isBundled, type Logger } from '../../core/index.ts'
import { libp2pLogger } from '../libp2p-log.ts'
import { gatherWritesTest } from './gather-writes.ts'
import { pingTest } from './pinger.ts'
import { quietDecoderTest } from './quiet-decoder.ts'
import { runSelfTests } from './self-test.ts'
import { sharedPortTest } from './shared-port.ts'
import { stagedSocketsTest } from './staged-sockets.ts'
import { windowUpdatesTest } from './window-updates.ts'

/**
 * Tests every private member that the shims use, except those of gossipsub, which are checked when it is made and started.
 *
 * Throws UNSUPPORTED if a member has changed without which the mesh must not start. The others are tested while the mesh
 * starts, since a handshake in memory takes 20 ms of processor time; a warning is logged for each that has changed.
 *
 * Nothing is tested in a bundle: its libraries are those with which this version was tested.
 */
export async function checkShims(log: Logger): Promise<void> {
  if (isBundled()) return
  const logger = libp2pLogger(log)
  const multiplexers = () => yamux({ enableKeepAlive: false })()
  await runSelfTests([pingTest(multiplexers())], log)
  const optional = [
    windowUpdatesTest(multiplexers()),
    gatherWritesTest(tcp()({ logger })),
    stagedSocketsTest(tcp()({ logger })),
    sharedPortTest(tcp()({ logger })),
    quietDecoderTest(noise(), { logger })
  ]
  detach(log, 'self-tests of libraries', runSelfTests(optional, log))
}
