import { createServer, type Socket } from 'node:net'
import type { Command } from 'commander'
import { type ConnectOptions, connect, defaultSource, type MeshSocket } from '../../client/index.ts'
import { contextOf } from '../context.ts'
import { bindUnix, DatagramForwarder } from '../listeners/datagram/index.ts'
import { listenAt } from '../listeners/stream/listen-at.ts'
import { abort, relaySockets } from '../listeners/stream/relay.ts'
import { parseEndpoint, type StrategyOption, strategyOption } from '../options/index.ts'
import { clauseWithHint, print, printJsonLine, RateLimitedLines, withNextStep } from '../output/index.ts'
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
    .description('a local listener that leads to a workload, for an unmodified client')
    .argument('<destination>', 'address or pattern')
    .requiredOption(
      '--listen <host:port|unix:path>',
      'where clients connect; port 0 picks one. Every user who can connect there uses your identity'
    )
    .option('--as <address>', 'who connects (default: SCOPE.user.YOU.default, in the scope of the destination)')
    .option(
      '--udp',
      'datagrams: each address that sends to it is a flow of its own; unix:PATH is then of kind SOCK_DGRAM'
    )
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
        if (services.length === 0) say(`nothing registered matches ${destination} yet; until then clients are cut off`)
      }
      if (options.udp === true) {
        const onFailure = (err: unknown): void =>
          failures.line(clauseWithHint(withNextStep(err, as, destination)), performance.now())
        // With native code, which the other commands must not pay for.
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
      // What a server says in two small pieces must not wait for the client's acknowledgement of the first.
      const server = createServer({ allowHalfOpen: true, noDelay: true }, socket => {
        clients.add(socket)
        socket.once('close', () => clients.delete(socket))
        const options: ConnectOptions = { client, as, strategy, application: 'warren forward' }
        forwardOne(socket, destination, options).catch((err: unknown) =>
          failures.line(clauseWithHint(withNextStep(err, as, destination)), performance.now())
        )
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
    // A client that did not wait has not been failed.
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
