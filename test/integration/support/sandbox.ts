import { chmodSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { type AgentOptions, type Host, Program, type Scope, TestAgent } from '../../harness/index.ts'

const UNIT = join(import.meta.dirname, '..', '..', '..', 'packaging', 'systemd', 'warren.service')

/** Those of the packaged unit, without "CAP_". */
export const UNIT_CAPABILITIES = (/^AmbientCapabilities=(.*)$/m.exec(readFileSync(UNIT, 'utf8'))?.[1] ?? '')
  .split(' ')
  .map(name => name.replace('CAP_', '').toLowerCase())

/** Runs a command line in a mount namespace. */
export type Enter = (argv: readonly string[]) => string[]

/** A mount namespace like that of a unit, held by a process. */
async function mountNamespace(scope: Scope, steps: readonly string[]): Promise<Enter> {
  const setUp = ['mount --make-rprivate /', ...steps, 'echo ready', 'exec sleep 600'].join(' && ')
  const holder = new Program(scope, ['unshare', '--mount', '/bin/sh', '-c', setUp])
  await holder.says(/ready/)
  return argv => ['nsenter', '--target', String(holder.pid), '--mount', '--', ...argv]
}

/** What systemd makes for `ProtectSystem=strict`: the host's root bound anew, in which one directory can be written to. */
export async function protectSystem(scope: Scope, writable: string): Promise<Enter> {
  const root = scope.directory()
  return await mountNamespace(scope, [
    `mount --rbind / ${root}`,
    `mount --bind ${writable} ${root}${writable}`,
    `cd ${root}`,
    'pivot_root . .',
    'umount -l .',
    'cd /',
    'mount -o remount,bind,ro /'
  ])
}

/** What systemd makes for `PrivateTmp=yes`, but for /tmp itself, where the tests have their sockets. */
export async function privateTmp(scope: Scope): Promise<Enter> {
  return await mountNamespace(scope, ['mount -t tmpfs -o mode=1777 tmpfs /var/tmp'])
}

/** An agent in the sandbox of its packaged unit, ready. */
export async function startPackaged(
  scope: Scope,
  options: Required<Pick<AgentOptions, 'uid' | 'capabilities'>>
): Promise<TestAgent> {
  let enter: Enter = argv => [...argv]
  const network = ['--no-mdns', '--listen', '127.0.0.1:0', '--data-listen', '127.0.0.1:0', '--advertise', '127.0.0.1']
  const host = { enter: (argv: readonly string[]) => enter(argv) } as unknown as Host
  const agent = new TestAgent(scope, { name: 'a', args: ['--init', 'example.org', ...network], host, ...options })
  chmodSync(dirname(agent.runtimeDir), 0o755)
  enter = await protectSystem(scope, dirname(agent.runtimeDir))
  return await agent.start()
}
