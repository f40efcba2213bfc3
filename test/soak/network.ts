import { execFileSync } from 'node:child_process'
import { createHosts, type Host, type Scope } from '../harness/index.ts'

export const NAMES = ['hub', 'near', 'far', 'home'] as const
export type Name = (typeof NAMES)[number]

/** Two hosts whose link can be lost. */
export type Link = readonly [Name, Name]

const INSIDE = '10.78.0'
// What home begins passes with the address of the gate; what others begin does not pass.
const NAT = `
  table ip nat {
    chain leave { type nat hook postrouting priority srcnat; oifname "eth0" masquerade; }
    chain pass {
      type filter hook forward priority filter; policy drop;
      iifname "eth1" accept
      ct state established,related accept
    }
  }`

/**
 * Four hosts: hub, near and far on one network, home behind a NAT. Near and far never reach each other, so that their
 * flows need a relay; nobody can dial home.
 */
export class Network {
  readonly hosts: Readonly<Record<Name, Host>>
  readonly #gate: Host

  private constructor(hosts: Readonly<Record<Name, Host>>, gate: Host) {
    this.hosts = hosts
    this.#gate = gate
  }

  static async create(scope: Scope): Promise<Network> {
    const [hub, near, far, gate] = await createHosts(scope, 'hub', 'near', 'far', 'gate')
    const [home] = await createHosts(scope, 'home')
    home.run('ip', 'link', 'del', 'eth0')
    gate.run('ip', 'link', 'add', 'eth1', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', String(home.pid))
    for (const [host, device, address] of [
      [gate, 'eth1', `${INSIDE}.1/24`],
      [home, 'eth0', `${INSIDE}.2/24`]
    ] as const) {
      host.run('ip', 'addr', 'add', address, 'dev', device)
      host.run('ip', 'link', 'set', device, 'up')
    }
    home.run('ip', 'route', 'add', 'default', 'via', `${INSIDE}.1`)
    gate.run('sh', '-c', 'echo 1 >/proc/sys/net/ipv4/ip_forward')
    execFileSync('nsenter', ['--target', String(gate.pid), '--net', 'nft', '-f', '-'], { input: NAT })
    // Without a route, a dial of home would fail at once; on the internet it is lost.
    for (const host of [hub, near, far]) host.run('ip', 'route', 'add', 'default', 'via', gate.ip)
    // On far, since `lose` heals all that is cut on near.
    far.cut(near)
    return new Network({ hub, near, far, home }, gate)
  }

  /** Loses all packets of one link until the returned function is called. Home has one link for all hosts. */
  lose([one, other]: Link): () => void {
    if (one === 'home' || other === 'home') {
      this.#gate.run('ip', 'link', 'set', 'eth1', 'down')
      return () => void this.#gate.run('ip', 'link', 'set', 'eth1', 'up')
    }
    const host = this.hosts[one]
    host.cut(this.hosts[other])
    return () => host.heal()
  }
}
