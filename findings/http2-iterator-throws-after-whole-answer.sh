#!/usr/bin/env bash
# Node's HTTP/2: an async iterator over an answer that came whole and without error ends by throwing.
#
# Expected: `for await` over the stream of an answer yields its body, whenever the loop begins.
# Seen: over a transport that delivers a whole answer in one read (any Duplex may; a socket of the system mostly does not), the
# stream is closed when the loop begins, though its body lies unread in it: the iterator yields every byte, and then throws
# ERR_STREAM_PREMATURE_CLOSE instead of ending. 'data' and 'end' listeners that are added at the same moment get all of it and
# no error. A caller that collects the body by `for await` loses a good answer.
#
# Version: Node 26.10.0 (npm package `node`). Needs npm and its registry. Fails if what is seen changes.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund node@26.10.0 >/dev/null
cat > try.mjs <<'JS'
import http2 from 'node:http2'
import { Duplex } from 'node:stream'

const BODY = Buffer.alloc(1_687, 'x')

// Two ends in one process. What one end writes in a turn reaches the other as one piece.
function pair () {
  const ends = []
  const make = index => new Duplex({
    read () {},
    writev (chunks, done) {
      ends[1 - index].push(Buffer.concat(chunks.map(({ chunk }) => chunk)))
      done()
    },
    final (done) { ends[1 - index].push(null); done() }
  })
  ends.push(make(0), make(1))
  return ends
}

async function readBy (how) {
  const [near, far] = pair()
  const server = http2.performServerHandshake(far)
  server.on('stream', stream => {
    far.cork()
    stream.respond({ ':status': 200 })
    stream.end(BODY, () => {})
    setTimeout(() => far.uncork(), 50)
  })
  const client = http2.connect('http://in.memory', { createConnection: () => near })
  const request = client.request({ ':method': 'POST', ':path': '/' })
  request.end('question')
  await new Promise(resolve => request.once('response', resolve))
  // A turn later, as after any other await.
  await new Promise(resolve => setImmediate(resolve))
  try {
    return await how(request)
  } finally {
    client.destroy()
    server.destroy()
  }
}

const byIterator = await readBy(async stream => {
  let bytes = 0
  try {
    for await (const chunk of stream) bytes += chunk.length
    return `${bytes} bytes`
  } catch (err) {
    return `${err.code} after ${bytes} bytes`
  }
})
const byEvents = await readBy(stream => new Promise(resolve => {
  let bytes = 0
  stream.on('data', chunk => { bytes += chunk.length })
  stream.on('end', () => resolve(`${bytes} bytes`))
  stream.on('error', err => resolve(err.code))
}))
console.log(`version:     Node ${process.version}`)
console.log(`expected:    by iterator 1687 bytes, by events 1687 bytes`)
console.log(`seen:        by iterator ${byIterator}, by events ${byEvents}`)
const same = byIterator === 'ERR_STREAM_PREMATURE_CLOSE after 1687 bytes' && byEvents === '1687 bytes'
process.exitCode = same ? 0 : 1
if (!same) console.error('this is another behaviour than the one that was found')
JS
node_modules/.bin/node try.mjs
