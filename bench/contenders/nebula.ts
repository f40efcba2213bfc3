import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createHosts, type Host, isInstalled, Program, type Scope } from '../../test/harness/index.ts'
import type { Contender } from '../contender.ts'
import type { Load } from '../load.ts'

const PORT = 4242
const TARGET_PORT = 4_000
const LIMIT_BYTES = 1300

/**
 * A VPN: the load speaks TCP over its network device, and its target too, so that two local sockets are missing which the
 * others have. Each end is a host with a network of its own, joined by a pair of devices: the device of a VPN belongs to a network.
 */
export const nebula: Contender = {
  name: 'nebula',
  missing: () => {
    if (process.getuid?.() !== 0) return 'nebula needs root, for networks of its own'
    const missing = ['nebula', 'nebula-cert', 'ip', 'nsenter'].find(name => !isInstalled(name))
    return missing === undefined ? undefined : `${missing} is not installed`
  },
  start: async (scope: Scope, _target: string, load: Load) => {
    const directory = scope.directory()
    const sign = (...words: readonly string[]): void => {
      execFileSync('nebula-cert', words, { cwd: directory, stdio: ['ignore', 'ignore', 'inherit'] })
    }
    sign('ca', '-name', 'bench')
    const [near, far] = await createHosts(scope, 'near', 'far')
    const start = async (host: Host, address: string, other: Host, otherAddress: string): Promise<Program> => {
      sign('sign', '-name', host.name, '-ip', `${address}/24`)
      const file = join(directory, `${host.name}.json`)
      // Its configuration is YAML, of which JSON is a part.
      writeFileSync(file, JSON.stringify(configOf(directory, host, { [otherAddress]: [`${other.ip}:${PORT}`] })))
      const program = new Program(scope, host.enter(['nebula', '-config', file]))
      await program.says(/Nebula interface is active/, 'stdout')
      return program
    }
    const ends = [await start(near, '10.98.0.1', far, '10.98.0.2'), await start(far, '10.98.0.2', near, '10.98.0.1')]
    const path = `tcp:10.98.0.2:${TARGET_PORT}`
    await load.within(argv => far.enter(argv)).target('target', path)
    return { path, pids: ends.map(({ pid }) => pid), enter: argv => near.enter(argv) }
  }
}

function configOf(directory: string, host: Host, hosts: Readonly<Record<string, readonly string[]>>): object {
  const anything = [{ port: 'any', proto: 'any', host: 'any' }]
  return {
    pki: {
      ca: join(directory, 'ca.crt'),
      cert: join(directory, `${host.name}.crt`),
      key: join(directory, `${host.name}.key`)
    },
    static_host_map: hosts,
    lighthouse: { am_lighthouse: false },
    listen: { host: host.ip, port: PORT },
    cipher: 'aes',
    tun: { dev: 'nebula0', mtu: LIMIT_BYTES },
    firewall: { outbound: anything, inbound: anything }
  }
}
