// As a server: sends back what it gets. As a client: sends bytes, and fails unless all of them come back as they were.
import { createHash, randomBytes } from 'node:crypto'
import { connect, createServer } from 'node:net'

const [role, port, ...numbers] = process.argv.slice(2)

if (role === 'server') {
  const server = createServer({ allowHalfOpen: true }, socket => {
    socket.on('error', () => {}).pipe(socket)
  })
  server.listen(Number(port), '127.0.0.1', () => process.stdout.write('listens\n'))
} else {
  const [total, piece, pauseMs] = numbers.map(Number)
  const sent = createHash('sha256')
  const got = createHash('sha256')
  let count = 0
  let said = 0
  let lastMs = Infinity
  let pausedMs = 0
  const socket = connect({ host: '127.0.0.1', port: Number(port), allowHalfOpen: true })
  const end = (text, code) => {
    process.stdout.write(`${text}\n`)
    process.exit(code)
  }
  socket.on('error', err => end(`cut: ${err.code} after ${count}`, 1))
  socket.on('data', chunk => {
    got.update(chunk)
    const nowMs = performance.now()
    pausedMs = Math.max(pausedMs, nowMs - lastMs)
    lastMs = nowMs
    count += chunk.length
    for (; said < 4 && count >= (total * (said + 1)) / 5; said += 1) process.stdout.write(`part ${said + 1}\n`)
  })
  socket.on('end', () => {
    const isIntact = count === total && got.digest('hex') === sent.digest('hex')
    end(
      isIntact
        ? `intact, at most ${Math.round(pausedMs)} ms between bytes`
        : `only ${count} of ${total} came back, or others`,
      isIntact ? 0 : 1
    )
  })
  for (let at = 0; at < total; at += piece) {
    const bytes = randomBytes(Math.min(piece, total - at))
    sent.update(bytes)
    if (!socket.write(bytes)) await new Promise(resolve => socket.once('drain', resolve))
    await new Promise(resolve => setTimeout(resolve, pauseMs))
  }
  socket.end()
}
