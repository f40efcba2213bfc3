import { type AgentClient, connect, listen, register } from '../../src/client/index.ts'
import type { Fleet } from './fleet.ts'
import type { Link, Name } from './network.ts'
import type { Protocol } from './numbers.ts'
import type { WatchedFlow } from './watched-flow.ts'

/** Something that the soak does to the fleet, and the flows that may end by it. Those on other hosts or links must not notice. */
export interface Disturbance {
  readonly name: string
  /** Whether it ends a flow that has its session over these hosts. */
  readonly ends: (flow: WatchedFlow, path: readonly Name[]) => boolean
  /** Does it, and undoes it. `ended` waits until each flow that it ends for certain has ended. */
  readonly run: (fleet: Fleet, ended: () => Promise<void>) => Promise<void>
}

const NOBODY = (): boolean => false

/** Whether a disturbance may end a flow: by one of the paths that its session may have. */
export function mayEnd({ ends }: Disturbance, flow: WatchedFlow): boolean {
  return flow.paths.some(path => ends(flow, path))
}

/** Whether it ends it for certain. */
export function mustEnd({ ends }: Disturbance, flow: WatchedFlow): boolean {
  return flow.paths.every(path => ends(flow, path))
}

const REGISTRATIONS = 40
const RULES = 10
const CONNECTIONS = 40

/** kill -9 of an agent, and its next start on the same state. */
export function killed(name: Name): Disturbance {
  return {
    name: `kill -9 of the agent of ${name}`,
    ends: (_flow, path) => path.includes(name),
    run: async ({ members }, ended) => {
      await members[name].kill()
      await ended()
      await members[name].start()
    }
  }
}

/** A link loses every packet until all flows on it have ended. */
export function lost(link: Link): Disturbance {
  return {
    name: link.includes('home') ? 'loss of the link of home' : `loss of the link ${link.join('–')}`,
    ends: (_flow, path) => path.some((name, at) => at > 0 && isOn(link, path[at - 1] ?? name, name)),
    run: async ({ network }, ended) => {
      const heal = network.lose(link)
      try {
        await ended()
      } finally {
        heal()
      }
    }
  }
}

/** Home has one link for all hosts. */
function isOn(link: Link, one: Name, other: Name): boolean {
  if (one === other) return false
  if (link.includes('home')) return one === 'home' || other === 'home'
  return link.includes(one) && link.includes(other)
}

/** A rule that forbids one pair of addresses, and one that allows it again. */
export function forbidden(source: string, destination: string): Disturbance {
  return {
    name: `deny ${source} ${destination}`,
    ends: flow => flow.source === source && flow.destination === destination,
    run: async (fleet, ended) => {
      await fleet.rule('deny', source, destination)
      await ended()
      await fleet.rule('allow', source, destination)
    }
  }
}

/** A server that leaves its address and takes it again. */
export function reregistered(name: Name, protocol: Protocol): Disturbance {
  return {
    name: `the ${protocol} server of ${name} registers again`,
    ends: flow => flow.route.to === name && flow.protocol === protocol,
    run: async ({ members }, ended) => {
      await members[name].stopServing(protocol)
      await ended()
      await members[name].serve(protocol)
    }
  }
}

/** Registrations that come and go on every host. */
export const churn: Disturbance = {
  name: `${REGISTRATIONS} registrations on each host, made and removed`,
  ends: NOBODY,
  run: async ({ all }) => {
    await Promise.all(
      all.map(async ({ client, name }) => {
        const addresses = Array.from({ length: REGISTRATIONS }, (_, index) => `soak.churn.${name}.n${index}`)
        const held = await Promise.all(addresses.map(address => register(address, { client, wait: 'local' })))
        await Promise.all(held.map(registration => registration.close()))
      })
    )
  }
}

/** Rules that come and go, and concern none of the flows. */
export const rules: Disturbance = {
  name: `${RULES} rules, made and removed`,
  ends: NOBODY,
  run: async ({ members }) => {
    const { admin } = members.hub.client
    for (let index = 0; index < RULES; index += 1) {
      const { rule } = await admin.addRule({
        rule: { effect: 'allow', source: `soak.other.c${index}.*`, destination: 'soak.other.*.*' }
      })
      await admin.removeRule({ id: rule?.id ?? '' })
    }
  }
}

/** Connections of one question and one answer, from near to a server on each host. */
export const short: Disturbance = {
  name: `${CONNECTIONS} short connections to each host`,
  ends: NOBODY,
  run: async fleet => {
    const near = fleet.members.near.client
    for (const { client, name } of fleet.all) {
      const address = `soak.short.${name}.default`
      await using server = await listen(address, { client })
      server.on('connection', socket => socket.on('error', () => {}).on('data', chunk => socket.end(chunk)))
      await fleet.until(
        async () => (await near.workload.listServices({ pattern: address })).services.length > 0,
        () => `near does not know ${address}`
      )
      for (let index = 0; index < CONNECTIONS; index += 1) await ask(near, address, String(index))
    }
  }
}

/** Rejects unless the answer is the question and then a clean end. */
async function ask(client: AgentClient, address: string, question: string): Promise<void> {
  const socket = await connect(address, { client, as: 'soak.client.short.default' })
  socket.end(question)
  let answer = ''
  for await (const chunk of socket) answer += String(chunk)
  if (answer !== question) throw new Error(`${address} answered "${answer}" to "${question}"`)
}
