import { createServer, type Socket } from 'node:net'
import type { Command } from 'commander'
import { type ConnectOptions, connect, defaultSource, type MeshSocket } from '../../client/index.ts'
import { contextOf } from '../context.ts'
import { bindUnix, DatagramForwarder } from '../listeners/datagram/index.ts'
import { listenAt } from '../listeners/stream/listen-at.ts'
import { abort, relaySockets } from '../listeners/stream/relay.ts'
import { parseEndpoint, type StrategyOption, strategyOption } from '../options/index.ts'
import { clause, print, printJsonLine, RateLimitedLines } from '../output/index.ts'
import { endingSignals, inWords } from '../signals.ts'

/** Clients at once; the system refuses the rest, for each costs two descriptors. */
const MAX_CLIENTS = 4_096

interface ForwardOptions {
  readonly listen: string
  readonly as?: string
  readonly udp?: true
  readonly strategy: StrategyOption
}

export function addForward(program: Command): void {
  program
    .command('forward')
    .description('open a local listener that leads to a workload, for an unmodified client')
    .argument('<destination>', 'address or pattern')
    .requiredOption(
      '--listen <host:port|unix:path>',
      'address for local clients; port 0 picks a free one. Every user who can connect there uses your identity'
    )
    .option(
      '--as <address>',
      'address of the source (default: SCOPE.user.YOU.default, in the scope of the destination)'
    )
    .option('--udp', 'forward datagrams, with one flow for each local sender; unix:PATH is then a SOCK_DGRAM socket')
    .addOption(strategyOption())
    .action(async (destination: string, options: ForwardOptions, command: Command) => {
      const endpoint = parseEndpoint('--listen', options.listen)
      const { strategy } = options
      const as = options.as ?? defaultSource(destination)
      const { agent: client, json, say } = contextOf(command)
      const ending = endingSignals(inWords(say))
      // Before there is a listener: without an agent, or with a malformed destination, every client could only fail.
      const { services } = await client.workload.listServices({ pattern: destination }, { signal: ending.signal })
      const failures = new RateLimitedLines(say)
      const announce = (bound: string): void => {
        if (json) printJsonLine({ listen: bound, destination, as })
        else print(bound)
        say(`${bound} leads to ${destination}, as ${as}`)
        if (services.length === 0)
          say(`nothing registered matches ${destination} yet; clients are disconnected until something does`)
      }
      if (options.udp === true) {
        const onFailure = (err: unknown): void => failures.line(clause(err), performance.now())
        // It loads native code, which must cost the other commands nothing.
        const { bindUdp } = await import('../listeners/datagram/udp.ts')
        const local =
          endpoint.kind === 'tcp' ? await bindUdp(endpoint, onFailure) : await bindUnix(endpoint.path, { onFailure })
        const forwarder = new DatagramForwarder(local, {
          destination,
          connect: { client, as, strategy, application: 'warren forward' },
          onFailure
        })
        announce(local.bound)
        await ending.asked
        await forwarder.close()
        await client.close()
        return
      }
      const clients = new Set<Socket>()
      // The second of two small pieces from a server must not wait for the client's acknowledgement of the first.
      const server = createServer({ allowHalfOpen: true, noDelay: true }, socket => {
        clients.add(socket)
        socket.once('close', () => clients.delete(socket))
        const options: ConnectOptions = { client, as, strategy, application: 'warren forward' }
        forwardOne(socket, destination, options).catch((err: unknown) => failures.line(clause(err), performance.now()))
      })
      server.maxConnections = MAX_CLIENTS
      const listening = await listenAt(server, endpoint)
      announce(listening.bound)
      await ending.asked
      listening.remove()
      server.close()
      for (const socket of clients) abort(socket)
      await client.close()
    })
}

async function forwardOne(local: Socket, destination: string, options: ConnectOptions): Promise<void> {
  let brokered: MeshSocket
  try {
    brokered = await connectFor(local, destination, options)
  } catch (err) {
    const gone = local.destroyed
    abort(local)
    // No failure for a client that did not wait.
    if (gone) return
    throw err
  }
  await relaySockets(local, brokered)
}

/** Connects, but only for as long as the local client is there to be connected. */
async function connectFor(local: Socket, destination: string, options: ConnectOptions): Promise<MeshSocket> {
  const gone = new AbortController()
  const giveUp = (): void => gone.abort(new DOMException('the local client went away', 'AbortError'))
  local.on('error', giveUp).once('close', giveUp)
  try {
    return await connect(destination, { ...options, signal: gone.signal })
  } finally {
    local.off('close', giveUp)
  }
}
