import assert from 'node:assert/strict'
import type { NetworkInterfaceInfo } from 'node:os'
import test from 'node:test'
import fc from 'fast-check'
import { AnnouncedHosts } from '../../src/cluster/addresses/announced.ts'
import { chooseHosts, type Interfaces } from '../../src/cluster/addresses/reachable.ts'
import { formatHostPort, type Logger } from '../../src/core/index.ts'
import { DEFAULT_LIMITS } from '../../src/registry/index.ts'
import { Node, Time, verdictOf } from '../registry/world.ts'

const MAX = DEFAULT_LIMITS.maxAddresses

function entry(address: string, internal = false): NetworkInterfaceInfo {
  const rest = { address, netmask: '', mac: '00:00:00:00:00:00', internal, cidr: null }
  return address.includes(':') ? { ...rest, family: 'IPv6', scopeid: 0 } : { ...rest, family: 'IPv4' }
}

function machine(of: Readonly<Record<string, readonly string[]>>): Interfaces {
  return Object.fromEntries(Object.entries(of).map(([name, all]) => [name, all.map(one => entry(one, name === 'lo'))]))
}

const range = (count: number, prefix: string): string[] =>
  Array.from({ length: count }, (_, at) => `${prefix}${at + 1}`)
const choose = (of: Interfaces, previous: readonly string[] = []) => chooseHosts('::', of, MAX, previous)

test('the addresses of the LAN come before those of tunnels, and these before bridges of containers', () => {
  const of = machine({
    lo: ['127.0.0.1', '::1'],
    docker0: ['172.17.0.1'],
    'br-3f2a11aa22bb': ['172.18.0.1'],
    veth12ab: ['169.254.7.7'],
    virbr0: ['192.168.122.1'],
    cni0: ['10.244.0.1'],
    wg0: ['10.9.0.2'],
    br0: ['192.168.1.5'],
    eth0: ['10.0.0.7', 'fe80::1', 'fd00::7']
  })
  const { hosts, leftOut } = choose(of)
  assert.deepEqual(hosts.slice(0, 4), ['192.168.1.5', '10.0.0.7', 'fd00::7', '10.9.0.2'])
  assert.deepEqual(hosts.slice(4).toSorted(), [
    '10.244.0.1',
    '169.254.7.7',
    '172.17.0.1',
    '172.18.0.1',
    '192.168.122.1'
  ])
  assert.equal(hosts.at(-1), '169.254.7.7')
  assert.deepEqual(leftOut, [])
})

test('of too many, sixteen are announced, the first of each interface and both families among them', () => {
  const of = machine({
    eth0: range(20, '10.0.0.'),
    eth1: range(20, '10.0.1.'),
    docker0: ['172.17.0.1', ...range(20, 'fd17::')]
  })
  const { hosts, leftOut } = choose(of)
  assert.equal(hosts.length, MAX)
  assert.deepEqual(hosts.slice(0, 4), ['10.0.0.1', '10.0.1.1', '10.0.0.2', '10.0.1.2'])
  assert.equal(hosts.at(-1), 'fd17::1')
  assert.equal(leftOut.length, 61 - MAX)
  assert.deepEqual(new Set([...hosts, ...leftOut]).size, 61)
})

test('loopback is announced only where there is nothing else', () => {
  assert.deepEqual(choose(machine({ lo: ['127.0.0.1', '::1'] })).hosts, ['127.0.0.1', '::1'])
  assert.deepEqual(choose(machine({ lo: ['127.0.0.1', '::1'], eth0: ['fe80::1'] })).hosts, ['127.0.0.1', '::1'])
  assert.deepEqual(choose(machine({ lo: ['127.0.0.1'], docker0: ['172.17.0.1'] })).hosts, ['172.17.0.1'])
  assert.deepEqual(chooseHosts('0.0.0.0', machine({ eth0: ['10.0.0.1', 'fd00::1'] }), MAX).hosts, ['10.0.0.1'])
  assert.deepEqual(chooseHosts('::', machine({ eth0: ['10.0.0.1', 'fd00::1'] }), MAX).hosts, ['10.0.0.1', 'fd00::1'])
  assert.deepEqual(chooseHosts('192.0.2.1', machine({ eth0: range(40, '10.0.0.') }), MAX).hosts, ['192.0.2.1'])
})

test('an interface that comes or goes, or is listed elsewhere, does not change the order of the others', () => {
  const before = machine({ eth0: range(3, '10.0.0.'), eth1: ['10.0.1.1', 'fd01::1'], docker0: ['172.17.0.1'] })
  const { hosts } = choose(before)
  const more = { ...machine({ 'br-1': ['172.19.0.1'], eth2: ['10.0.2.1'] }), ...before }
  const known = new Set(hosts)
  const ofKnown = (all: readonly string[]): string[] => all.filter(host => known.has(host))
  assert.deepEqual(ofKnown(choose(more, hosts).hosts), hosts)
  const turned = Object.fromEntries(Object.entries(before).toReversed())
  assert.deepEqual(choose(turned, hosts).hosts, hosts)
  // IPv6 addresses that come later are listed first.
  const later = { ...before, eth1: [...machine({ x: ['fd01::9'] })['x']!, ...before['eth1']!] }
  assert.deepEqual(ofKnown(choose(later, hosts).hosts), hosts)
  const { eth1: _, ...less } = before
  assert.deepEqual(
    choose(less, hosts).hosts,
    hosts.filter(host => host !== '10.0.1.1' && host !== 'fd01::1')
  )
})

const names = fc.oneof(
  fc.constantFrom('lo', 'eth0', 'docker0', 'br-1', 'veth1', 'wg0', 'virbr0', 'cni0'),
  fc.string({ minLength: 1, maxLength: 15 })
)
const addresses = fc.oneof(fc.ipV4(), fc.ipV6(), fc.string(), fc.constantFrom('fe80::1%eth0', '0.0.0.0', '::', ''))
const machines = fc.dictionary(names, fc.array(addresses, { maxLength: 60 }), { maxKeys: 20 }).map(of => machine(of))

test('whatever interfaces a host has, others take the head that it signs', () => {
  fc.assert(
    fc.property(machines, machines, fc.constantFrom('0.0.0.0', '::', '192.0.2.1'), (first, second, bound) => {
      const time = new Time()
      const [a, b] = [new Node('a', time), new Node('b', time)]
      b.pull(a)
      let present = first
      const announced = new AnnouncedHosts({ advertise: undefined, interfaces: () => present, log: quiet })
      for (const next of [first, second]) {
        present = next
        const hosts = announced.of(bound)
        const dataAddresses = hosts.map(host => formatHostPort({ host, port: 7461 }))
        const meshAddresses = hosts.map(host => `/ip${host.includes(':') ? 6 : 4}/${host}/tcp/7460/p2p/${a.peer}`)
        const effects = a.announce({ dataAddresses, meshAddresses, draining: next === second })
        if (effects.length === 0) continue
        assert.equal(verdictOf(b.hear(a.sent.at(-1), a)), 'accept-later')
        assert.deepEqual(b.state.entries.get(a.peer)?.sealed.head.dataAddresses, dataAddresses)
      }
    })
  )
})

const quiet: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} } as unknown as Logger

test('what there was no room for is logged once for each change of it, and no more of it than can be read', () => {
  const lines: Array<readonly [string, unknown]> = []
  const note = (message: string, fields?: unknown): void => void lines.push([message, fields])
  const log = { debug: () => {}, info: note, warn: note, error: note } as unknown as Logger
  let present = machine({ eth0: range(10, '10.0.0.') })
  const announced = new AnnouncedHosts({ advertise: undefined, interfaces: () => present, log })
  announced.of('0.0.0.0')
  assert.deepEqual(announced.leftOut, [])
  present = machine({ eth0: range(250, '10.0.0.') })
  for (let count = 0; count < 5; count += 1) announced.of('0.0.0.0')
  assert.equal(lines.length, 1)
  assert.equal(announced.leftOut.length, 250 - MAX)
  const [, fields] = lines[0] as readonly [string, { count: number; addresses: string[] }]
  assert.deepEqual([fields.count, fields.addresses.length], [250 - MAX, 64])
  present = machine({ eth0: range(10, '10.0.0.') })
  for (let count = 0; count < 5; count += 1) announced.of('0.0.0.0')
  assert.equal(lines.length, 2)
  assert.deepEqual(announced.leftOut, [])
})
