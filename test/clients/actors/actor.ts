/** The actor of the TypeScript library: does what the lines of its input say. */
import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import type { MeshDatagramSocket, MeshServer, MeshSocket, Peer, Registration } from '../../../src/client/index.ts'

/** The library: its sources, or what a program gets, which is smaller in memory. */
const LIBRARY = process.env['ACTOR_LIBRARY'] ?? '../../../src/client/index.ts'
const {
  connect,
  listen,
  MeshHttpAgent,
  register,
  sharedClient,
  WarrenError
}: typeof import('../../../src/client/index.ts') = await import(LIBRARY)

interface Line {
  readonly id: number
  readonly call: string
  readonly name: string
  readonly address: string
  readonly whitelist?: string[]
  readonly dnsNames?: string[]
  readonly protocol?: 'tcp' | 'udp'
  readonly mode?: 'echo' | 'count' | 'hold'
  readonly to: string
  readonly as: string
  readonly explicitEnd?: boolean
  readonly timeoutMs?: number
  readonly text: string
  readonly size: number
  readonly bytes: number
}

const sockets = new Map<string, MeshSocket>()
const flows = new Map<string, MeshDatagramSocket>()
const datagrams = new Map<string, AsyncIterator<Buffer>>()
const others = new Map<string, MeshServer | MeshServer<MeshDatagramSocket> | Registration>()

const say = (message: object): void => void process.stdout.write(`${JSON.stringify(message)}\n`)

function failure(err: unknown): { readonly code: string; readonly reason: string } {
  if (err instanceof WarrenError) return { code: err.code, reason: err.reason }
  const code = err instanceof Error && 'code' in err ? String(err.code) : 'UNKNOWN'
  // A reset of the system is a cut, too.
  return { code: code === 'ECONNRESET' || code === 'EPIPE' ? 'STREAM_TRUNCATED' : code, reason: String(err) }
}

async function readAll(socket: Socket): Promise<{ text: string; how: string; reason: string }> {
  // A cut that came before the call has emitted its error.
  if (socket.errored !== null) return { text: '', how: failure(socket.errored).code, reason: String(socket.errored) }
  const chunks: Buffer[] = []
  const end = Promise.withResolvers<{ how: string; reason: string }>()
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  socket.on('end', () => end.resolve({ how: 'ended', reason: '' }))
  socket.on('error', err => end.resolve({ how: failure(err).code, reason: failure(err).reason }))
  return { ...(await end.promise), text: Buffer.concat(chunks).toString() }
}

function serve(mode: 'echo' | 'count' | 'hold') {
  return async (socket: Socket, peer: Peer): Promise<void> => {
    say({ event: 'connection', peer })
    if (mode === 'echo') {
      const end = Promise.withResolvers<object>()
      socket.on('end', () => end.resolve({ how: 'ended' }))
      socket.on('error', err => end.resolve({ how: failure(err).code, reason: failure(err).reason }))
      socket.pipe(socket)
      say({ event: 'end', ...(await end.promise) })
      return
    }
    const end = await readAll(socket)
    say({ event: 'end', ...end })
    if (mode === 'count') socket.end(String(end.text.length))
    else socket.destroy()
  }
}

const CALLS: Readonly<Record<string, (line: Line) => Promise<object>>> = {
  async listen({ name, address, whitelist = [], protocol, mode = 'echo' }) {
    const server =
      protocol === 'udp'
        ? await listen(address, { whitelist, protocol }, (flow, peer) => {
            say({ event: 'connection', peer })
            flow.on('error', () => {}).on('message', datagram => flow.send(datagram))
          })
        : await listen(address, { whitelist }, (socket, peer) => void serve(mode)(socket, peer))
    others.set(name, server)
    return { address: server.address, spiffeId: server.spiffeId, path: server.registration?.listenPath }
  },
  async connect({ name, to, as, protocol, explicitEnd, timeoutMs }) {
    if (protocol === 'udp') {
      const flow = await connect(to, { as, protocol, timeoutMs })
      flows.set(name, flow)
      datagrams.set(name, flow[Symbol.asyncIterator]())
      return { peer: flow.peer }
    }
    const socket = await connect(to, { as, explicitEnd, timeoutMs })
    socket.on('error', () => {})
    sockets.set(name, socket)
    return { peer: socket.peer }
  },
  async send({ name, text }) {
    const flow = flows.get(name)
    if (flow !== undefined) return { sent: flow.send(text) }
    sockets.get(name)?.write(text)
    return {}
  },
  async recv({ name, size }) {
    const each = datagrams.get(name)
    if (each !== undefined) {
      const { value, done } = await each.next()
      return { text: done === true ? null : String(value) }
    }
    const socket = sockets.get(name)
    for (;;) {
      const data = socket?.read(size) as Buffer | null
      if (data !== null) return { text: data.toString() }
      await once(socket as Socket, 'readable')
    }
  },
  async end({ name }) {
    flows.get(name)?.end()
    sockets.get(name)?.end()
    return {}
  },
  async close({ name }) {
    sockets.get(name)?.destroy()
    await flows.get(name)?.close()
    await others.get(name)?.close()
    return {}
  },
  async register({ name, address, whitelist = [], dnsNames }) {
    const registration = await register(address, { whitelist, dnsNames })
    others.set(name, registration)
    return { address: registration.address, token: registration.token }
  },
  async closed({ name }) {
    const other = others.get(name)
    const end = await (typeof other?.closed === 'function' ? other.closed() : other?.closed)
    return { reason: end?.reason, code: end?.error?.code ?? '' }
  },
  async readAll({ name }) {
    return await readAll(sockets.get(name) as Socket)
  },
  async waitForAgent() {
    for (;;) {
      const status = await sharedClient()
        .workload.getStatus({})
        .catch(() => undefined)
      if (status?.state === 'ready') return {}
      await delay(100)
    }
  },
  async http({ to, as }) {
    const request = get({ host: to, path: '/prices', agent: new MeshHttpAgent({ as }) })
    const [response] = (await once(request, 'response')) as [IncomingMessage]
    return { status: response.statusCode, text: await text(response) }
  },
  async bulk({ to, as, bytes }) {
    const socket = await connect(to, { as })
    const block = Buffer.alloc(262_144, 'e')
    const began = performance.now()
    let got = 0
    socket.on('data', (chunk: Buffer) => {
      got += chunk.length
    })
    const ended = once(socket, 'end')
    for (let left = bytes; left > 0; left -= Math.min(left, block.length)) {
      if (!socket.write(block.subarray(0, left))) await once(socket, 'drain')
    }
    socket.end()
    await ended
    return { bytes: got, seconds: (performance.now() - began) / 1_000 }
  }
}

for await (const text of createInterface({ input: process.stdin })) {
  const line = JSON.parse(text) as Line
  const call = CALLS[line.call] ?? (async () => await Promise.reject(new Error(`no call ${line.call}`)))
  call(line).then(
    result => say({ id: line.id, result }),
    err => say({ id: line.id, error: failure(err) })
  )
}
process.exit()
