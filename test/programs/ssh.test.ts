import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { WARREN } from '../harness/index.ts'
import { SSH_PORT, serveSshd } from './support/sshd.ts'
import { IS_FULL, isAskedFor, Stage } from './support/stage.ts'

const ADDRESS = 'dev.ops.ssh.default'
const FILE_BYTES = (IS_FULL ? 100 : 16) * 1024 * 1024

test('ssh: a command and its exit code, a file each way, and warren connect as ProxyCommand', async t => {
  if (!isAskedFor(t, 'ssh', 'sshd', 'ssh-keygen', 'sftp')) return
  const stage = await Stage.open(t)
  const directory = stage.scope.directory()
  const file = (name: string): string => join(directory, name)
  const options = await serveSshd(stage)
  await stage.forward(ADDRESS, { tcp: SSH_PORT })

  const ssh = ['ssh', ...options, '-p', String(SSH_PORT), 'root@127.0.0.1']
  assert.equal((await stage.onClient([...ssh, 'hostname'])).stdout.trim(), 'server')
  const failing = stage.run(stage.client, [...ssh, 'exit 7'])
  assert.equal((await failing.outcome()).code, 7)

  const bytes = randomBytes(FILE_BYTES)
  writeFileSync(file('sent'), bytes)
  const startedMs = performance.now()
  await stage.onClient(['/bin/sh', '-c', `"$@" 'cat > ${file('kept')}' < ${file('sent')}`, 'sh', ...ssh])
  t.diagnostic(`${FILE_BYTES / 1024 / 1024} MiB sent by ssh in ${Math.round(performance.now() - startedMs)} ms`)
  const batch = file('batch')
  writeFileSync(batch, `get ${file('kept')} ${file('back')}\n`)
  await stage.onClient(['sftp', ...options, '-P', String(SSH_PORT), '-b', batch, 'root@127.0.0.1'])
  const hash = (data: Buffer): string => createHash('sha256').update(data).digest('hex')
  assert.equal(hash(readFileSync(file('back'))), hash(bytes))

  const proxy = `${process.execPath} ${WARREN} connect ${ADDRESS} --as dev.ops.user.default`
  const { stdout } = await stage.onClient(
    ['ssh', ...options, '-o', `ProxyCommand=${proxy}`, 'root@anything', 'hostname'],
    { WARREN_RUNTIME_DIR: stage.clientAgent.runtimeDir }
  )
  assert.equal(stdout.trim(), 'server')
})
