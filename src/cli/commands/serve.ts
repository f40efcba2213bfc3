import { once } from 'node:events'
import type { Socket } from 'node:net'
import type { Command } from 'commander'
import { listen, type MeshDatagramSocket, type Peer } from '../../client/index.ts'
import { AwaitedAgent, noWaitOption } from '../await-agent.ts'
import { contextOf } from '../context.ts'
import { sendLines, sendPatiently, writeLine } from '../listeners/datagram/index.ts'
import { collect } from '../options/index.ts'
import { clause, cliLogger, sayRaw } from '../output/index.ts'
import { endingSignals, inWords } from '../signals.ts'

/** Connections at once; the rest are closed, for each costs a descriptor. */
const MAX_CONNECTIONS = 256
/** Size of the datagrams that wait to be printed. */
const MAX_UNPRINTED_BYTES = 1024 * 1024

interface ServeOptions {
  readonly allow?: string[]
  readonly udp?: true
  readonly wait: boolean
}

export function addServe(program: Command): void {
  program
    .command('serve')
    .description('register, print all input, and send standard input to all clients (like nc -lk)')
    .argument('<address>', 'SCOPE.GROUP.NAME.RESOURCE; this machine is appended')
    .option('--allow <pattern>', 'let these sources of the same scope connect without a rule; may be repeated', collect)
    .option('--udp', 'print each received datagram as a line, and send each line of standard input as a datagram')
    .addOption(noWaitOption())
    .action(async (address: string, options: ServeOptions, command: Command) => {
      const context = contextOf(command)
      const { json, say } = context
      const ending = endingSignals(inWords(say))
      const agent = new AwaitedAgent(context, { wait: options.wait, signal: ending.signal })
      const common = {
        whitelist: options.allow ?? [],
        application: 'warren serve',
        signal: ending.signal,
        log: cliLogger(say)
      }
      const audience = options.udp === true ? new DatagramAudience(say) : new Audience(say)
      const server = await agent.call(
        async client =>
          await (audience instanceof DatagramAudience
            ? listen(address, { ...common, client, protocol: 'udp' }, (socket, peer) => audience.admit(socket, peer))
            : listen(address, { ...common, client }, (socket, peer) => audience.admit(socket, peer)))
      )
      // Standard output is for received data only, so even the JSON goes to standard error.
      if (json) sayRaw(`${JSON.stringify({ address: server.address, spiffeId: server.spiffeId })}\n`)
      else say(`serving ${server.address}`)
      const answering = audience.answerFrom(process.stdin)
      const end = await Promise.race([server.closed(), answering.then(() => server.closed())])
      audience.close()
      if (!ending.signal.aborted && end.error !== undefined) throw end.error
    })
}

/** The connected clients: each one receives all of standard input, and its data is printed as it arrives. */
class Audience {
  readonly #say: (text: string) => void
  readonly #sockets = new Set<Socket>()
  #count = 0
  #inputEnded = false

  constructor(say: (text: string) => void) {
    this.#say = say
  }

  admit(socket: Socket, peer: Peer): void {
    const name = `#${++this.#count} ${peer.address}`
    if (this.#sockets.size >= MAX_CONNECTIONS) {
      this.#say(`${name} turned away: ${MAX_CONNECTIONS} are connected`)
      socket.on('error', () => {}).destroy()
      return
    }
    this.#say(`${name} connected`)
    this.#sockets.add(socket)
    let received = 0
    socket
      .on('data', (chunk: Buffer) => {
        received += chunk.length
        // A terminal that is slower than the sender must slow the sender down.
        if (!process.stdout.write(chunk)) {
          socket.pause()
          process.stdout.once('drain', () => socket.resume())
        }
      })
      .on('end', () => this.#say(`${name} sent its last, ${received} bytes in all`))
      .on('error', err => this.#say(`${name} cut: ${clause(err)}`))
      .on('close', () => {
        this.#sockets.delete(socket)
        this.#say(`${name} gone`)
      })
    if (this.#inputEnded) socket.end()
  }

  /** Sends `input` to all clients that are connected at the time; its end ends the sending side of each connection. */
  async answerFrom(input: AsyncIterable<Buffer>): Promise<void> {
    for await (const chunk of input) {
      const full = [...this.#sockets].filter(socket => socket.writable && !socket.write(chunk))
      // One that closes instead of draining must not delay the others forever.
      await Promise.all(
        full.map(socket => Promise.race([once(socket, 'drain'), once(socket, 'close')]).catch(() => {}))
      )
    }
    this.#inputEnded = true
    for (const socket of this.#sockets) socket.end()
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy()
  }
}

/** As Audience, for flows of datagrams. Standard input that ends leaves them open: they have no end of their own. */
class DatagramAudience {
  readonly #say: (text: string) => void
  readonly #sockets = new Set<MeshDatagramSocket>()
  #count = 0

  constructor(say: (text: string) => void) {
    this.#say = say
  }

  admit(socket: MeshDatagramSocket, peer: Peer): void {
    const name = `#${++this.#count} ${peer.address}`
    if (this.#sockets.size >= MAX_CONNECTIONS) {
      this.#say(`${name} turned away: ${MAX_CONNECTIONS} are connected`)
      void socket.on('error', () => {}).close()
      return
    }
    this.#say(`${name} connected`)
    this.#sockets.add(socket)
    socket
      .on('message', payload => {
        // A terminal that is slower than the senders loses datagrams, as every slow receiver does.
        if (process.stdout.writableLength < MAX_UNPRINTED_BYTES) writeLine(process.stdout, payload)
      })
      .on('error', err => this.#say(`${name} cut: ${clause(err)}`))
      .on('close', () => {
        this.#sockets.delete(socket)
        this.#say(`${name} gone`)
      })
  }

  async answerFrom(input: NodeJS.ReadStream): Promise<void> {
    await sendLines(input, async line => {
      await Promise.all([...this.#sockets].map(socket => sendPatiently(socket, line)))
    })
  }

  close(): void {
    for (const socket of this.#sockets) void socket.close()
  }
}
