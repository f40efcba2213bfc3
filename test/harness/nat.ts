import { createHost, type Host, inNetwork } from './host.ts'
import { Program } from './program.ts'
import type { Scope } from './scope.ts'

/**
 * How a NAT chooses the port of a connection: the one that the host has bound, any, or, for datagrams of a data port, another one that
 * is the same for every destination.
 */
export type PortChoice = 'kept' | 'random' | 'shifted'

export interface Nat {
  /** Its public address. */
  readonly address: string
  /** Chooses so for connections from now on, and forgets those of datagrams. */
  readonly setPorts: (choice: PortChoice) => void
  /** How many datagrams above LARGE_BYTES, with their headers, have gone out through it since `setPorts`. */
  readonly largeDatagrams: () => number
  /** Loses all datagrams from now on. */
  readonly dropDatagrams: () => void
}

/** `open` is on the public network; each of the others is behind a NAT of its own, and can be dialled by nobody. */
export interface NattedHosts {
  readonly open: Host
  readonly left: Host
  readonly right: Host
  readonly nats: { readonly left: Nat; readonly right: Nat }
}

const DATA_PORT = 7_461
const LARGE_BYTES = 1_400
const OPEN = '198.51.100.10'

/**
 * Three hosts on a public network, two of them behind NATs. A NAT is a namespace with the masquerading of nftables, which keeps
 * ports, and drops what nobody inside has begun. Gone with the scope. Needs root.
 */
export async function createNattedHosts(scope: Scope): Promise<NattedHosts> {
  const network = await namespace(scope, 'ip link add br0 type bridge && ip link set br0 up')
  const open = await createHost(scope, 'open', OPEN)
  plug(network.pid, open.pid, 'p0')
  inNetwork(open.pid, ['ip', 'addr', 'add', `${OPEN}/24`, 'dev', 'eth0'])
  inNetwork(open.pid, ['ip', 'link', 'set', 'eth0', 'up'])
  const [left, right] = await Promise.all([
    behind(scope, network.pid, { name: 'left', address: '198.51.100.1', inside: '192.168.1' }),
    behind(scope, network.pid, { name: 'right', address: '198.51.100.2', inside: '192.168.2' })
  ])
  return { open, left: left.host, right: right.host, nats: { left: left.nat, right: right.nat } }
}

interface Behind {
  readonly name: string
  readonly address: string
  /** The first three numbers of the addresses inside. */
  readonly inside: string
}

async function behind(
  scope: Scope,
  network: number,
  { name, address, inside }: Behind
): Promise<{ host: Host; nat: Nat }> {
  const router = await namespace(scope, 'echo 1 > /proc/sys/net/ipv4/ip_forward')
  plug(network, router.pid, name)
  const host = await createHost(scope, name, `${inside}.2`)
  const veth = ['type', 'veth', 'peer', 'name', 'eth0', 'netns', String(host.pid)]
  inNetwork(router.pid, ['ip', 'link', 'add', 'inside', ...veth])
  inNetwork(router.pid, ['ip', 'addr', 'add', `${address}/24`, 'dev', 'eth0'])
  inNetwork(router.pid, ['ip', 'addr', 'add', `${inside}.1/24`, 'dev', 'inside'])
  for (const link of ['eth0', 'inside']) inNetwork(router.pid, ['ip', 'link', 'set', link, 'up'])
  inNetwork(host.pid, ['ip', 'addr', 'add', `${inside}.2/24`, 'dev', 'eth0'])
  inNetwork(host.pid, ['ip', 'link', 'set', 'eth0', 'up'])
  inNetwork(host.pid, ['ip', 'route', 'add', 'default', 'via', `${inside}.1`])
  let zone = 0
  const setPorts = (choice: PortChoice): void => {
    zone += 1
    inNetwork(router.pid, ['nft', '-f', '-'], rulesOf(choice, address, zone))
  }
  const largeDatagrams = (): number => {
    const said = inNetwork(router.pid, ['nft', 'list', 'counter', 'ip', 'nat', 'large'])
    return Number(/packets (\d+)/.exec(said)?.[1])
  }
  const dropDatagrams = (): void => {
    inNetwork(router.pid, ['nft', 'insert', 'rule', 'ip', 'nat', 'through', 'meta', 'l4proto', 'udp', 'drop'])
  }
  setPorts('kept')
  return { host, nat: { address, setPorts, largeDatagrams, dropDatagrams } }
}

function rulesOf(choice: PortChoice, address: string, zone: number): string {
  const isNew = 'iifname "eth0" ct state != { established, related }'
  return `
    table ip nat
    delete table ip nat
    table ip nat {
      counter large { }
      chain zone { type filter hook prerouting priority raw; meta l4proto udp ct zone set ${zone}; }
      chain out {
        type nat hook postrouting priority srcnat;
        ${choice === 'shifted' ? `oifname "eth0" udp sport ${DATA_PORT} snat to ${address}:${DATA_PORT + 30_000};` : ''}
        oifname "eth0" masquerade ${choice === 'random' ? 'fully-random' : ''};
      }
      chain in { type filter hook input priority 0; ${isNew} drop; }
      chain through {
        type filter hook forward priority 0;
        ${isNew} drop;
        oifname "eth0" meta l4proto udp meta length > ${LARGE_BYTES} counter name large;
      }
    }`
}

/** A network of its own, which a sleeping process holds, after `setUp`. */
async function namespace(scope: Scope, setUp: string): Promise<Program> {
  const argv = ['unshare', '--net', '/bin/sh', '-c', `ip link set lo up && ${setUp} && echo ready && exec sleep 3600`]
  const holder = new Program(scope, argv, { env: { PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` } })
  await holder.says(/ready/)
  return holder
}

/** Joins the `eth0` of a network to the bridge of another. */
function plug(network: number, other: number, port: string): void {
  inNetwork(network, ['ip', 'link', 'add', port, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', String(other)])
  inNetwork(network, ['ip', 'link', 'set', port, 'master', 'br0', 'up'])
}
