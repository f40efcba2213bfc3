import type { fakeApi } from '../cli/fake-api.ts'

type Handlers = Parameters<typeof fakeApi>[1]

const CARRIERS = ['direct', 'mesh', 'relay via host-0001']

/** An agent of a mesh with so many hosts, each with ten workloads, and so many flows. */
export function meshOf(count: number, flowCount = count): Handlers {
  const machine = (at: number): string => `host-${String(at % count).padStart(4, '0')}`
  const address = (at: number): string =>
    `dev.group${at % 40}.app${Math.floor(at / count)}-${at % 40}.default.${machine(at)}`
  const services = Array.from({ length: count * 10 }, (_, at) => ({
    address: address(at),
    machine: machine(at),
    protocols: [1],
    health: at % 97 === 0 ? 'failing' : 'passing',
    registeredAtMs: 1_700_000_000_000n
  }))
  const members = Array.from({ length: count }, (_, at) => ({
    machine: machine(at),
    state: at === 0 ? 'self' : at % 50 === 0 ? 'suspect' : 'alive',
    version: '0.1.0'
  }))
  let asked = 0
  const flowsAt = (factor: number) =>
    members.slice(0, flowCount).map((_, at) => ({
      id: `f${at}`,
      direction: 'outbound',
      source: address(at),
      destination: address((at * 131 + 3) % services.length),
      protocol: 1,
      carrier: CARRIERS[at % CARRIERS.length] ?? '',
      bytesIn: BigInt(factor * 1_000 * (at + 1)),
      bytesOut: 0n,
      openedAtMs: 1_700_000_000_000n,
      rule: `r${at % 9}`
    }))
  return {
    workload: {
      getStatus: async () => ({
        version: '0.1.0',
        trustDomain: 'example.org',
        machine: machine(0),
        state: 'ready',
        admin: true
      }),
      listServices: async () => ({ services })
    },
    admin: {
      listMembers: async () => ({ members }),
      listFlows: async () => {
        asked += 1
        return { flows: flowsAt(asked) }
      },
      // Each host carries what it is a source of, and one that is not known here; every fiftieth does not answer.
      observe: async function* ({ ask }) {
        const flows = ask.case === 'flows' ? flowsAt(asked) : []
        const hosts = members.map(({ machine: name, state }, at) => ({
          machine: name,
          state: state === 'suspect' ? 'suspect' : 'answered',
          flows: flows.slice(at, at + 1).flatMap(flow => [flow, { ...flow, id: `m${at}` }]),
          events: {
            events: [{ name: 'host-lost', atMs: BigInt(Date.now() - 1_000), fields: '{"machine":"gone"}' }],
            total: 1
          }
        }))
        yield { hosts, finished: true, complete: false }
      }
    }
  }
}
