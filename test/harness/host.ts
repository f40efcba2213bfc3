import { execFileSync } from 'node:child_process'
import { Program } from './program.ts'
import type { Scope } from './scope.ts'
import { waitFor } from './wait-for.ts'

const ROOT_ONLY_PATH = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`

/**
 * A machine of its own as far as warren can see: its own network, host name, /run and /var/lib, in namespaces that a
 * sleeping process holds. Needs root.
 */
export class Host {
  readonly name: string
  /** Its address on the one network that all hosts of `createHosts` share. */
  readonly ip: string
  readonly #holder: Program

  constructor(holder: Program, name: string, ip: string) {
    this.#holder = holder
    this.name = name
    this.ip = ip
  }

  /** The process that holds its namespaces. */
  get pid(): number {
    return this.#holder.pid
  }

  /** The command line that runs `argv` on this host. The process keeps the pid that it was started with. */
  enter(argv: readonly string[]): string[] {
    return ['nsenter', '--target', String(this.pid), '--net', '--mount', '--uts', '--', ...argv]
  }

  /** A path on this host, as seen from the test. */
  path(path: string): string {
    return `/proc/${this.pid}/root${path}`
  }

  /** Runs a command on this host and waits for it. */
  run(...argv: string[]): string {
    return run(this.enter(argv))
  }

  /** Loses everything to and from `other`, as a cut cable would, until `heal`. */
  cut(other: Host): void {
    this.#drop(
      `  chain in { type filter hook input priority 0; ip saddr ${other.ip} drop; }`,
      `  chain out { type filter hook output priority 0; ip daddr ${other.ip} drop; }`
    )
  }

  /** Loses everything from `other`, and nothing to it, until `heal`. */
  stopHearing(other: Host): void {
    this.#drop(`  chain in { type filter hook input priority 0; ip saddr ${other.ip} drop; }`)
  }

  /**
   * Loses what `other` begins with this host, and nothing of what this host begins: to `other` it is behind a NAT, until `heal`.
   * Datagrams are lost in any case, since nobody here begins with those.
   */
  hideFrom(other: Host): void {
    this.#drop(
      `  chain in {
        type filter hook input priority 0;
        ip saddr ${other.ip} tcp flags & (syn | ack) == syn drop;
        ip saddr ${other.ip} meta l4proto udp drop;
      }`
    )
  }

  /** Loses everything on one interface, without a notice to anybody, until `heal`. */
  silence(device: string): void {
    this.#drop(
      `  chain in { type filter hook input priority 0; iifname "${device}" drop; }`,
      `  chain out { type filter hook output priority 0; oifname "${device}" drop; }`
    )
  }

  /** Loses so many of a hundred packets on one interface, chosen at random, until `heal`. */
  loseSome(device: string, percent: number): void {
    this.#drop(
      `  chain in { type filter hook input priority 0; iifname "${device}" numgen random mod 100 < ${percent} drop; }`,
      `  chain out { type filter hook output priority 0; oifname "${device}" numgen random mod 100 < ${percent} drop; }`
    )
  }

  /** Loses what comes to these ports, of TCP and UDP, until `heal`. */
  block(...ports: readonly number[]): void {
    const these = ports.join(', ')
    this.#drop(
      `  chain in { type filter hook input priority 0; meta l4proto { tcp, udp } th dport { ${these} } drop; }`
    )
  }

  #drop(...chains: readonly string[]): void {
    const rules = ['table inet cut {', ...chains, '}']
    inNetwork(this.pid, ['nft', '-f', '-'], rules.join('\n'))
  }

  heal(): void {
    this.run('nft', 'delete', 'table', 'inet', 'cut')
  }
}

/** Hosts on one network, gone with the scope. Two are joined by a veth pair, more by a bridge. Needs root. */
export async function createHosts<const Names extends readonly string[]>(
  scope: Scope,
  ...names: Names
): Promise<{ [I in keyof Names]: Host }> {
  const hosts: Host[] = []
  for (const [index, name] of names.entries()) hosts.push(await createHost(scope, name, `10.77.0.${index + 1}`))
  const [first, second] = hosts
  if (hosts.length === 2 && first !== undefined && second !== undefined) {
    first.run('ip', 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', String(second.pid))
  } else {
    await joinByBridge(scope, hosts)
  }
  for (const host of hosts) {
    host.run('ip', 'addr', 'add', `${host.ip}/24`, 'dev', 'eth0')
    host.run('ip', 'link', 'set', 'eth0', 'up')
    // Without a route multicast DNS has nowhere to go.
    host.run('ip', 'route', 'add', '224.0.0.0/4', 'dev', 'eth0')
  }
  return hosts as { [I in keyof Names]: Host }
}

/** A host without a network but its loopback. Needs root. */
export async function createHost(scope: Scope, name: string, ip: string): Promise<Host> {
  const setUp = [
    'mount --make-rprivate /',
    'mount -t tmpfs -o mode=755 tmpfs /run',
    'mount -t tmpfs -o mode=755 tmpfs /var/lib',
    'ip link set lo up',
    `hostname ${name}`,
    'echo ready',
    'exec sleep 3600'
  ].join(' && ')
  const argv = ['unshare', '--net', '--mount', '--uts', '/bin/sh', '-c', setUp]
  const holder = new Program(scope, argv, { env: { PATH: ROOT_ONLY_PATH } })
  await holder.says(/ready/)
  return new Host(holder, name, ip)
}

async function joinByBridge(scope: Scope, hosts: readonly Host[]): Promise<void> {
  const argv = [
    'unshare',
    '--net',
    '/bin/sh',
    '-c',
    'ip link add br0 type bridge && ip link set br0 up && echo ready && exec sleep 3600'
  ]
  const holder = new Program(scope, argv, { env: { PATH: ROOT_ONLY_PATH } })
  await holder.says(/ready/)
  const inSwitch = ['nsenter', '--target', String(holder.pid), '--net', '--']
  for (const [index, host] of hosts.entries()) {
    const port = `port${index}`
    run([...inSwitch, 'ip', 'link', 'add', port, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', String(host.pid)])
    run([...inSwitch, 'ip', 'link', 'set', port, 'master', 'br0', 'up'])
  }
}

/** Waits until `host` answers nothing at a path any more. */
export async function goneFrom(host: Host, path: string): Promise<void> {
  await waitFor(
    () => run(host.enter(['/bin/sh', '-c', `test -e "$0" || echo gone`, path])).includes('gone'),
    `${path} to go`
  )
}

/** Runs a command, which may read `input`, in the network of a process, and waits for it. */
export function inNetwork(pid: number, argv: readonly string[], input = ''): string {
  return run(['nsenter', '--target', String(pid), '--net', '--', ...argv], input)
}

function run(argv: readonly string[], input = ''): string {
  const [command = '', ...args] = argv
  const env = { ...process.env, PATH: ROOT_ONLY_PATH }
  return execFileSync(command, args, { encoding: 'utf8', env, input, stdio: 'pipe' })
}
