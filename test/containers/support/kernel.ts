import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Program, type Scope, WARREN } from '../../harness/index.ts'

const BOOT_TIMEOUT_MS = 220_000

/** A security module, and what is done before an agent starts. */
export interface SecurityModule {
  readonly name: 'apparmor' | 'selinux'
  /** Lines of a shell. */
  readonly setUp: string
  /** Lines of a shell by which it takes the label in $1. */
  readonly takeLabel: string
}

/**
 * Boots a kernel with a security module as a process (user-mode Linux), which sees the files of this machine and may write none of
 * them, and runs an agent and `script` in it. Resolves with what the script printed.
 *
 * The script has `call SOCKET METHOD JSON` and `as LABEL COMMAND…`, which runs the command with this label.
 */
export async function bootWithAgent(
  scope: Scope,
  { name, setUp, takeLabel }: SecurityModule,
  script: string
): Promise<string> {
  const init = join(scope.directory(), 'init')
  const up = ['--init', 'example.org', '--name', 'a', '--runtime-dir', '/run/warren', '--state-dir', '/run/state']
  const ports = ['--listen', '127.0.0.1:7460', '--data-listen', '127.0.0.1:7461']
  writeFileSync(
    init,
    `#!/bin/sh
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t tmpfs run /run
export HOME=/run PATH=/usr/sbin:/usr/bin:/sbin:/bin
cd /
${setUp}
ip link set lo up
'${process.execPath}' '${WARREN}' up ${[...up, ...ports].join(' ')} > /run/log 2>&1 & AGENT=$!
# The sockets of the agent are there when it says that it is ready.
until grep -q 'ready in' /run/log || ! kill -0 $AGENT; do sleep 0.2; done
call() {
  curl -s --max-time 60 --unix-socket /run/warren/$1 -H 'content-type: application/json' -d "$3" http://localhost/warren.api.v1.$2
  echo
}
as() { ( ${takeLabel}; shift; exec "$@" ); }
${script}
sync; echo o > /proc/sysrq-trigger; sleep 60
`
  )
  chmodSync(init, 0o755)
  const settings = [`lsm=${name}`, `${name}=1`, 'con=null', 'con0=fd:0,fd:1', 'quiet']
  const files = ['root=/dev/root', 'rootfstype=hostfs', 'hostfs=/', 'ro', `init=${init}`]
  const kernel = new Program(scope, ['linux.uml', 'mem=1G', ...files, ...settings])
  return (await kernel.outcome(BOOT_TIMEOUT_MS)).stdout
}
