import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { waitFor } from '../harness/index.ts'
import { SSH_PORT, serveSshd } from './support/sshd.ts'
import { IS_FULL, isAskedFor, Stage } from './support/stage.ts'

const RSYNC_PORT = 8873
const GIT_PORT = 9418
const FILE_BYTES = (IS_FULL ? 100 : 8) * 1024 * 1024

test('rsync and git, by their own daemons and by ssh, over two hosts', async t => {
  if (!isAskedFor(t, 'rsync', 'git', 'ssh', 'sshd', 'ssh-keygen')) return
  const stage = await Stage.open(t)
  const directory = stage.scope.directory()
  const file = (...names: string[]): string => join(directory, ...names)
  const ssh = ['ssh', ...(await serveSshd(stage)), '-p', String(SSH_PORT)].join(' ')
  await stage.forward('dev.ops.ssh.default', { tcp: SSH_PORT })

  mkdirSync(file('files', 'below'), { recursive: true })
  writeFileSync(file('files', 'large'), randomBytes(FILE_BYTES))
  for (let i = 0; i < 200; i += 1) writeFileSync(file('files', 'below', `small ${i}`), `${i}\n`)
  const same = async (copy: string): Promise<void> => {
    await stage.onClient(['diff', '-r', file('files'), file(copy)])
  }

  await t.test('rsync', async t => {
    const module = `[files]\npath = ${file('files')}\nread only = no\nuid = root\ngid = root\nuse chroot = no\n`
    writeFileSync(file('rsyncd.conf'), `pid file = ${file('rsyncd.pid')}\n${module}`)
    const daemon = ['rsync', '--daemon', '--no-detach', '--address=127.0.0.1', `--port=${RSYNC_PORT}`]
    const log = file('rsyncd.log')
    const argv = [...daemon, `--config=${file('rsyncd.conf')}`, `--log-file=${log}`]
    // With a socket as its standard input it would be the server of that connection.
    const server = stage.run(stage.server, ['/bin/sh', '-c', 'exec "$@" < /dev/null', 'sh', ...argv])
    stage.scope.defer(() => server.stop())
    await waitFor(() => (existsSync(log) && readFileSync(log, 'utf8').includes('listening')) || undefined, 'rsyncd')
    await stage.forward('dev.files.rsync.default', { tcp: RSYNC_PORT })
    const url = `rsync://127.0.0.1:${RSYNC_PORT}/files/`
    const startedMs = performance.now()
    await stage.onClient(['rsync', '-a', url, file('by-daemon')])
    t.diagnostic(`${FILE_BYTES / 1024 / 1024} MiB and 200 files in ${Math.round(performance.now() - startedMs)} ms`)
    await same('by-daemon')
    writeFileSync(file('by-daemon', 'new'), 'from the client\n')
    await stage.onClient(['rsync', '-a', `${file('by-daemon')}/`, url])
    await same('by-daemon')
    await stage.onClient(['rsync', '-a', '-e', ssh, `root@127.0.0.1:${file('files')}/`, file('by-ssh')])
    await same('by-ssh')
  })

  await t.test('git', async () => {
    const bare = file('repos', 'shop.git')
    await stage.onServer(['git', 'init', '-q', '--bare', '-b', 'main', bare])
    const daemon = ['git', 'daemon', '--verbose', '--listen=127.0.0.1', `--port=${GIT_PORT}`, '--export-all']
    await stage.serve([...daemon, '--enable=receive-pack', `--base-path=${file('repos')}`], /Ready to rumble/, {
      stream: 'stderr'
    })
    await stage.forward('dev.code.git.default', { tcp: GIT_PORT })
    const author = {
      GIT_AUTHOR_NAME: 'a',
      GIT_AUTHOR_EMAIL: 'a@b',
      GIT_COMMITTER_NAME: 'a',
      GIT_COMMITTER_EMAIL: 'a@b'
    }
    const git = async (...args: string[]): Promise<string> =>
      (await stage.onClient(['git', ...args], { ...author, GIT_SSH_COMMAND: ssh, HOME: directory })).stdout
    await git('clone', '-q', `git://127.0.0.1:${GIT_PORT}/shop.git`, file('first'))
    await stage.onClient(['cp', '-r', `${file('files')}/.`, file('first')])
    await git('-C', file('first'), 'add', '.')
    await git('-C', file('first'), 'commit', '-q', '-m', 'All files')
    await git('-C', file('first'), 'push', '-q', 'origin', 'HEAD:main')
    await git('clone', '-q', `ssh://root@127.0.0.1:${SSH_PORT}${bare}`, file('second'))
    const head = await git('-C', file('first'), 'rev-parse', 'HEAD')
    assert.equal(await git('-C', file('second'), 'rev-parse', 'HEAD'), head)
    await git('-C', file('second'), 'fsck', '--strict')
  })
})
