import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { ServiceList } from '../../src/api/services/service-list.ts'
import { ServiceSnapshots } from '../../src/api/services/service-snapshots.ts'
import { Authorizer, explain, Routing } from '../../src/cluster/index.ts'
import { systemClock } from '../../src/core/index.ts'
import { parseAddress, parsePattern } from '../../src/identity/index.ts'
import { sharesOf } from '../../src/proxy/index.ts'
import { tryOrder } from '../../src/proxy/outbound/balance.ts'
import type { RegistryState } from '../../src/registry/index.ts'
import { apiPb, toBinary } from '../../src/wire/index.ts'
import { describeMachine, loadNow, type Measured, type Report } from '../report.ts'
import type { SuiteOptions } from '../suite.ts'
import { change, fullReplica, GROUP, replica, synchronise } from './catalogue.ts'

const SIZES = { hosts: 1_000, workloads: 50, group: 500 }
const SOURCE = parseAddress('dev.shop.cart.default.host0')
const PAGE = 1_000
const EVERYTHING = { pattern: undefined, labels: {}, machine: '' }

type Figures = Map<string, { readonly unit: string; readonly value: number }>

/** What a large catalogue costs one agent: in one process, by the code of the agent, without sockets. Times are of the processor. */
export async function catalogueSuite(_scope: unknown, { rounds, say }: SuiteOptions): Promise<Report> {
  const load = loadNow()
  say(`catalogue: ${SIZES.hosts} hosts with ${SIZES.workloads} workloads each, all signed`)
  const full = fullReplica(SIZES)
  const all: Figures[] = []
  for (let round = 1; round <= rounds; round += 1) {
    say(`catalogue: round ${round} of ${rounds}`)
    all.push(await oneRound(full))
  }
  const measures = [...(all[0] ?? new Map())].map(
    ([name, { unit }]): Measured => ({
      name,
      unit,
      better: 'less',
      results: [{ contender: 'warren', ours: true, values: all.flatMap(figures => figures.get(name)?.value ?? []) }]
    })
  )
  return { suite: 'catalogue', machine: describeMachine(), load, rounds, measures }
}

async function oneRound(full: RegistryState): Promise<Figures> {
  const figures: Figures = new Map()
  const spent = (name: string, times: number, work: () => unknown, prepare = (): void => {}): void => {
    let total = 0
    for (let time = 0; time < times; time += 1) {
      prepare()
      const before = process.cpuUsage()
      work()
      const { user, system } = process.cpuUsage(before)
      total += user + system
    }
    figures.set(name, { unit: 'ms', value: total / 1_000 / times })
  }
  const before = heldBytes()
  const state = replica('fresh')
  const owner = replica('other')
  let bytes = 0
  spent('synchronisation at the start, from one peer', 1, () => {
    bytes = synchronise(state, full)
  })
  figures.set('the same, received', { unit: 'MB', value: bytes / 1e6 })
  figures.set('memory of it', { unit: 'MB', value: (heldBytes() - before) / 1e6 })

  const routing = new Routing(state)
  let signal = Promise.resolve()
  const list = new ServiceList({
    routing,
    suspectedSince: () => undefined,
    problemOf: () => undefined,
    zone: 'zone1',
    lost: { all: () => [] },
    changed: () => signal
  })
  let changes = 0
  const changed = (): void => {
    changes += 1
    change(state, owner, changes)
    signal = Promise.resolve()
  }
  changed()
  list.all(EVERYTHING)

  spent('services: all in one answer', 3, () => list.all(EVERYTHING))
  spent(`services: the first page of ${PAGE} after a change`, 3, () => list.page(EVERYTHING, PAGE, ''), changed)
  const second = list.page(EVERYTHING, PAGE, '').nextPageToken
  spent('services: the next page', 20, () => list.page(EVERYTHING, PAGE, second))
  spent('services of one name, 500 of them', 20, () => list.all({ ...EVERYTHING, pattern: parsePattern(GROUP) }))
  spent('services of one machine', 3, () => list.page({ ...EVERYTHING, machine: 'host7' }, PAGE, ''))
  const kept = new WeakMap()
  const snapshots = new ServiceSnapshots(pattern => list.messages({ ...EVERYTHING, pattern }, kept), 100)
  snapshots.make(undefined, signal, 0)
  spent('services --watch: a change, for all who watch', 3, () => snapshots.make(undefined, signal, 0), changed)
  spent('status: its count of services after a change', 20, () => routing.servers, changed)

  const policy = { bundle: undefined, version: 0n, sets: { lease: { withheld: undefined } } }
  const authorizer = new Authorizer(policy, routing, systemClock)
  const ask = (route: { address: typeof SOURCE; registrationId: string }) =>
    authorizer.authorize({
      source: SOURCE,
      destination: route.address,
      destinationRegistrationId: route.registrationId,
      protocol: 'tcp'
    })
  const group = parsePattern(GROUP)
  const choose = (strategy: 'balanced' | 'sticky') =>
    tryOrder({
      candidates: routing.serving(group, 'tcp'),
      strategy,
      isAllowed: candidate => ask(candidate).allowed,
      source: SOURCE,
      zone: 'zone1',
      activeTo: () => 0
    })
  choose('balanced')
  spent('a choice among 500, allowed and balanced', 200, () => choose('balanced'))
  spent('the same, sticky', 50, () => choose('sticky'))
  const explained = process.cpuUsage()
  await explain(
    {
      machine: 'host0',
      excluded: () => undefined,
      known: pattern => routing.matching(pattern),
      hosts: () => [],
      lost: () => [],
      ended: () => [],
      evaluate: (_source, route) => ask(route),
      policy: () => ({ version: 0n, entries: [], strict: false }),
      sharesOf: routes => sharesOf(routes, 'zone1'),
      registrant: () => undefined,
      mayRegister: async () => ({ ok: true, text: 'not asked' }),
      server: async () => undefined,
      health: () => undefined,
      suspectedSinceMs: () => undefined,
      limitsOf: () => ({}),
      path: async () => ({ ok: true, text: 'not tried' }),
      clocks: () => [],
      certificateEnd: () => undefined,
      nowMs: systemClock.wallMs
    },
    { source: 'dev.shop.cart.default', destination: GROUP, protocol: 'tcp' },
    AbortSignal.timeout(60_000)
  )
  const { user, system } = process.cpuUsage(explained)
  figures.set('explain of one of 500, without its probes', { unit: 'ms', value: (user + system) / 1_000 })
  const answer = toBinary(apiPb.WatchServicesResponseSchema, snapshots.make(undefined, signal, 0).message)
  figures.set('services: all in one answer, sent', { unit: 'MB', value: answer.length / 1e6 })
  return figures
}

function heldBytes(): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}
