// Replaces itself once, and says in its second life what the first has left. With `elsewhere` the second binds the same port at all addresses.
import { once } from 'node:events'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { takeListener } from '../../../src/core/index.ts'
import { openHandover } from '../../../src/restart/index.ts'

const handover = await openHandover(process.env)
if (handover === undefined) throw new Error('a process cannot be replaced here')
const program = { file: process.execPath, argv: [process.execPath, ...process.execArgv, ...process.argv.slice(1)] }
const server = createServer(client => void client.end('served'))
const left = handover.take('keys')
if (left === undefined) {
  server.listen(0, '127.0.0.1', async () => {
    const { port } = server.address() as AddressInfo
    handover.leaveListener(`port 127.0.0.1:${port}`, server)
    handover.leave('keys', () => ({ data: { secret: 'hidden', port }, bytes: [Buffer.from('kept'), Buffer.alloc(0)] }))
    handover.leaveListeners()
    process.stdout.write(`${JSON.stringify({ pid: process.pid, port })}\n`)
    await handover.collect()
    process.stdin.once('data', () => handover.execute(program, 'one', program, 0))
  })
} else {
  const fds = readdirSync('/proc/self/fd').flatMap(name => {
    try {
      const flags = /^flags:\s+(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${name}`, 'utf8'))?.[1] ?? '0'
      return [
        {
          fd: Number(name),
          path: readlinkSync(`/proc/self/fd/${name}`),
          isInherited: (Number.parseInt(flags, 8) & 0o2000000) === 0
        }
      ]
    } catch {
      return []
    }
  })
  const again = handover.take('keys')
  const { port } = left.data as AddressInfo
  if (process.argv[2] === 'elsewhere') {
    handover.spendOverlapping(`port 0.0.0.0:${port}`, { host: '0.0.0.0', port })
    await once(server.listen(port, '0.0.0.0'), 'listening')
  } else {
    handover.spendOverlapping('port 127.0.0.1:1', { host: '127.0.0.1', port: 1 })
    handover.spendOverlapping(`port 127.0.0.2:${port}`, { host: '127.0.0.2', port })
    server.listen({ fd: takeListener(handover, `port 127.0.0.1:${port}`) })
  }
  handover.settle()
  const found = {
    pid: process.pid,
    id: handover.facts?.id,
    data: left.data,
    bytes: left.bytes?.map(String),
    again,
    fds
  }
  process.stdout.write(`${JSON.stringify({ ...found, environment: Object.keys(process.env) })}\n`)
}
