import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Stage } from './stage.ts'

export const SSH_PORT = 2222

/** Serves ssh on the server's host, and returns the options with which a client gets in as root. */
export async function serveSshd(stage: Stage): Promise<string[]> {
  const directory = stage.scope.directory()
  const file = (name: string): string => join(directory, name)
  for (const name of ['host', 'key'])
    await stage.onServer(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', file(name)])
  writeFileSync(
    file('sshd_config'),
    [
      `Port ${SSH_PORT}`,
      'ListenAddress 127.0.0.1',
      `HostKey ${file('host')}`,
      `AuthorizedKeysFile ${file('key.pub')}`,
      'StrictModes no',
      'UsePAM no',
      'PermitRootLogin prohibit-password',
      'PidFile none',
      'AcceptEnv LC_*',
      'Subsystem sftp internal-sftp'
    ].join('\n')
  )
  mkdirSync(stage.server.path('/run/sshd'), { recursive: true })
  await stage.serve(['/usr/sbin/sshd', '-D', '-e', '-f', file('sshd_config')], /Server listening/, { stream: 'stderr' })
  const settings = ['StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'LogLevel=ERROR']
  return ['-i', file('key'), ...settings.flatMap(setting => ['-o', setting]), '-F', 'none']
}
