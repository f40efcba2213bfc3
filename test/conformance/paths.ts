import { existsSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { AgentClient, register } from '../../src/client/index.ts'
import { asRoot, createHosts, type Host, type Scope, settled, TestAgent, waitFor } from '../harness/index.ts'
import { dial, readBytes } from '../proxy/support/sockets.ts'

const SERVER = 'dev.conformance.server.default'
const CLIENT = 'dev.conformance.client.default'
const ID_BYTES = 8

export interface Pair {
  readonly client: Socket
  readonly server: Socket
}

/** Two workloads and a way between them, on real agents but for the control. */
export interface Course {
  /** A connection, seen from both ends. Both are raw: no library is between the test and the agent. */
  readonly open: () => Promise<Pair>
  /** The path that a client connects to now. */
  readonly path: () => Promise<string>
  /** Serves elsewhere from now on. The first answers again when this resolves. */
  readonly serveAt: (path: string) => Promise<() => Promise<void>>
  /** In order: that of the client, that of the server, the one in the middle. Empty for the control. */
  readonly agents: readonly TestAgent[]
  /** The link that carries, if there is one that can be cut: between two hosts, as root. */
  readonly link: { readonly cut: () => void; readonly heal: () => void } | undefined
}

/** NAT: the client's host cannot dial the server's, which dials back when it is asked over the mesh. Needs root. */
export type Carrier = 'direct' | 'mesh' | 'relay' | 'local' | 'NAT'

const HOSTS: Readonly<Record<Carrier, readonly string[]>> = {
  local: ['near'],
  direct: ['near', 'far'],
  mesh: ['near', 'far'],
  relay: ['near', 'far', 'middle'],
  NAT: ['near', 'far']
}

/** Two ends that a plain unix socket joins: what all the others are compared with. */
export async function plain(scope: Scope): Promise<Course> {
  const ends = new Ends(scope)
  await ends.start()
  return {
    open: () => ends.open(ends.path),
    path: async () => ends.path,
    serveAt: async path => {
      const before = ends.path
      ends.path = path
      return async () => {
        ends.path = before
      }
    },
    agents: [],
    link: undefined
  }
}

/** Two ends that agents join over one carrier. Each agent is on a host of its own if root runs the tests. */
export async function brokered(scope: Scope, carrier: Carrier): Promise<Course> {
  const hosts = asRoot.skip === false && carrier !== 'local' ? await createHosts(scope, ...HOSTS[carrier]) : []
  const args = ['--no-mdns', ...(carrier === 'local' || carrier === 'NAT' ? [] : ['--carrier', carrier])]
  if (carrier === 'NAT') hideServer(hosts)
  const agents: TestAgent[] = []
  for (const [index, name] of HOSTS[carrier].entries()) {
    const host = hosts[index]
    const agent = new TestAgent(scope, { name, args, ...(host !== undefined && { host }) })
    const [founder] = agents
    const how = founder === undefined ? ['--init', 'example.org'] : ['--join', await founder.token(name)]
    agents.push(await agent.start([...how, ...args]))
  }
  const [near, far = near] = agents
  if (near === undefined || far === undefined) throw new Error('no agents')
  await near.allow('dev.*.*.*', 'dev.*.*.*')
  await Promise.all(agents.map(agent => agent.sees(agents.length - 1)))
  await Promise.all(agents.map(agent => agent.follows(near)))

  const ends = new Ends(scope)
  await ends.start()
  const clients = [near, far].map(agent => new AgentClient({ runtimeDir: agent.runtimeDir }))
  scope.defer(() => Promise.all(clients.map(client => client.close())))
  const [here, there] = clients as [AgentClient, AgentClient]
  const served = (path: string) => register(SERVER, { client: there, target: { unix: path } })
  let registration = await served(ends.path)
  const source = await register(CLIENT, { client: here })
  await near.knows(SERVER)

  // One for all connections: the number of endpoints of a user has a limit.
  let endpoint: Promise<string> | undefined
  const prepare = async (): Promise<string> =>
    (await here.workload.connect({ token: source.token, destination: SERVER })).path
  const path = async (): Promise<string> => {
    endpoint ??= prepare()
    return await endpoint
  }
  const open = async (): Promise<Pair> =>
    // Agents that were restarted, and links that were cut, come back in their own time.
    await waitFor(async () => {
      try {
        return await ends.open(await path())
      } catch (err) {
        // An agent that was restarted has forgotten it.
        if (!existsSync((await endpoint?.catch(() => '')) ?? '')) endpoint = undefined
        throw err
      }
    }, 'a connection')
  return {
    open,
    path,
    serveAt: async path => {
      await registration.close()
      registration = await served(path)
      await near.knows(SERVER)
      endpoint = undefined
      return async () => {
        await registration.close()
        registration = await served(ends.path)
        await near.knows(SERVER)
        endpoint = undefined
      }
    },
    agents,
    link: linkOf(carrier, hosts)
  }
}

function hideServer([near, far]: readonly Host[]): void {
  if (near === undefined || far === undefined) throw new Error('a NAT needs hosts, and so root')
  far.hideFrom(near)
}

function linkOf(carrier: Carrier, [near, far, middle]: readonly Host[]): Course['link'] {
  const other = carrier === 'relay' ? middle : far
  if (near === undefined || other === undefined) return undefined
  return { cut: () => near.cut(other), heal: () => near.heal() }
}

/** The server's own socket, and the pairing of what arrives there with who connected. */
class Ends {
  path: string
  readonly #server: Server
  readonly #accepted = new Map<string, (socket: Socket) => void>()
  #count = 0

  constructor(scope: Scope) {
    this.path = join(scope.directory(), 'served')
    const sockets = new Set<Socket>()
    this.#server = createServer({ allowHalfOpen: true }, socket => {
      sockets.add(socket)
      socket.on('error', () => {}).once('close', () => sockets.delete(socket))
      // One that is cut before it has said who it is was never anybody's.
      readBytes(socket, ID_BYTES).then(
        id => this.#accepted.get(id.toString())?.(socket),
        () => {}
      )
    })
    scope.defer(() => {
      this.#server.close()
      for (const socket of sockets) socket.destroy()
    })
  }

  async start(): Promise<void> {
    const listening = Promise.withResolvers<void>()
    this.#server.once('error', listening.reject).listen(this.path, 4_096, listening.resolve)
    await listening.promise
  }

  async open(path: string): Promise<Pair> {
    this.#count += 1
    const id = String(this.#count).padStart(ID_BYTES, '0')
    const arrived = Promise.withResolvers<Socket>()
    this.#accepted.set(id, arrived.resolve)
    const client = await dial(path)
    try {
      client.write(id)
      client.once('close', () => arrived.reject(new Error('the connection was closed')))
      return { client, server: await settled(arrived.promise, 'the connection at the server', 20_000) }
    } catch (err) {
      client.destroy()
      throw err
    } finally {
      arrived.promise.catch(() => {})
      this.#accepted.delete(id)
    }
  }
}
