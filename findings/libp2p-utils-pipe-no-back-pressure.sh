#!/usr/bin/env bash
# @libp2p/utils: a reader behind pipe() cannot slow its sender down.
#
# Expected: the README of it-pipe and the name promise a pipeline; a sink that takes one chunk and then waits holds the source
# back, so that a sender stops after about one window of the muxer (yamux: 256 KiB at first).
# Seen: pipe() makes each stream a pushable without a bound. The stream counts every message as read when it is pushed, so the
# window is given back at once: a sender that obeys send() and 'drain' sends all of 32 MiB while the sink has taken one chunk.
# The same sender stops within 2 MiB when the reader pauses the stream by stream.pause().
#
# Versions: libp2p 3.3.11, @libp2p/utils 7.4.1, @libp2p/yamux 8.0.3, Node 26.10.0. Needs npm and its registry. Fails if what is seen changes.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund node@26.10.0 libp2p@3.3.11 @libp2p/tcp@11.0.28 @libp2p/noise@17.0.3 @libp2p/yamux@8.0.3 @libp2p/utils@7.4.1 >/dev/null
cat > try.mjs <<'JS'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { noise } from '@libp2p/noise'
import { tcp } from '@libp2p/tcp'
import { pipe } from '@libp2p/utils'
import { yamux } from '@libp2p/yamux'
import { createLibp2p } from 'libp2p'

const TOTAL_BYTES = 32 * 1024 * 1024
const CHUNK = new Uint8Array(64 * 1024)
const MIB = 1024 * 1024

const agent = () => createLibp2p({
  addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()]
})

// How many bytes a well-behaved sender got rid of before it had to wait for a second and a half.
async function sentTo (reader) {
  const [near, far] = await Promise.all([agent(), agent()])
  let taken = 0
  await far.handle('/slow/1', stream => { reader(stream, bytes => { taken += bytes }) })
  const stream = await near.dialProtocol(far.getMultiaddrs(), '/slow/1')
  let sent = 0
  while (sent < TOTAL_BYTES) {
    const room = stream.send(CHUNK)
    sent += CHUNK.length
    if (!room) {
      const drained = await Promise.race([
        once(stream, 'drain').then(() => true),
        sleep(1_500).then(() => false)
      ])
      if (!drained) break
    }
  }
  stream.abort(new Error('measured'))
  await Promise.all([near.stop(), far.stop()])
  return { sent, taken }
}

const byPipe = await sentTo((stream, took) => {
  pipe(stream, async source => {
    for await (const chunk of source) {
      took(chunk.byteLength)
      await new Promise(() => {}) // a slow reader: the second chunk is never asked for
    }
  }).catch(() => {})
})
const byPause = await sentTo((stream, took) => {
  stream.addEventListener('message', event => {
    took(event.data.byteLength)
    stream.pause()
  })
})
const show = ({ sent, taken }) => `${(sent / MIB).toFixed(2)} MiB sent while the reader took ${(taken / MIB).toFixed(2)} MiB`
console.log('expected:    in both ways the sender waits after a few hundred KiB')
console.log(`by pipe():   ${show(byPipe)}`)
console.log(`by pause():  ${show(byPause)}`)
const same = byPipe.sent === TOTAL_BYTES && byPipe.taken < MIB && byPause.sent < 2 * MIB
process.exitCode = same ? 0 : 1
if (!same) console.error('this is another behaviour than the one that was found')
process.exit()
JS
node_modules/.bin/node try.mjs
