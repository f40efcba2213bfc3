import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { pathInside, processHandle } from '../../src/attest/index.ts'
import { candidates, parseMounts } from '../../src/attest/path-inside.ts'
import { asRoot, temporaryDirectory } from '../harness/index.ts'

function directory(t: TestContext): string {
  const path = temporaryDirectory('wt-inside-')
  t.after(() => rmSync(path, { recursive: true, force: true }))
  return path
}

/** Where a process that has made these mounts finds `path`. */
async function seen(t: TestContext, path: string, script: string): Promise<string | undefined> {
  const child = spawn('unshare', ['--mount', '/bin/sh', '-c', `${script}; echo begun; exec sleep 600`], {
    stdio: ['ignore', 'pipe', 'inherit']
  })
  t.after(() => child.kill('SIGKILL'))
  await once(child.stdout, 'data')
  const process = processHandle(child.pid ?? 0)
  t.after(() => process.close())
  return await pathInside(process, path)
}

test('a directory is found where a process has mounted it, or one above or below it', asRoot, async t => {
  const root = directory(t)
  const [share, at] = [join(root, 'a share'), join(root, 'at')]
  for (const path of [join(share, 'endpoints'), at]) mkdirSync(path, { recursive: true })
  const endpoints = join(share, 'endpoints')
  const hidden = `mount -t tmpfs none '${root}'; mkdir '${at}'`
  const bound = `mkdir '${root}/kept' 2>/dev/null; mount --bind '${root}' /mnt; ${hidden}; mount --bind`
  assert.equal(await seen(t, endpoints, 'true'), endpoints)
  assert.equal(await seen(t, endpoints, `${bound} '/mnt/a share' '${at}'; umount /mnt`), join(at, 'endpoints'))
  assert.equal(await seen(t, endpoints, `${bound} '/mnt/a share/endpoints' '${at}'; umount /mnt`), at)
  assert.equal(await seen(t, endpoints, hidden), undefined)
})

test('what a process has put in the place of the directory, or over it, is not the directory', asRoot, async t => {
  const root = directory(t)
  const [share, at] = [join(root, 'share'), join(root, 'at')]
  for (const path of [join(share, 'w'), at]) mkdirSync(path, { recursive: true })
  const covered = `mount --bind '${share}' '${at}'; mount -t tmpfs none '${root}'; mkdir -p '${share}/w' '${at}/w'`
  assert.equal(await seen(t, join(share, 'w'), covered), undefined)
  const linked = `mount -t tmpfs none '${root}'; mkdir '${at}'; ln -s /proc/1/root${share} '${share}'`
  assert.equal(await seen(t, join(share, 'w'), linked), undefined)
})

test('of several mounts the closest one is tried first, and names may have spaces', () => {
  const line = (device: string, root: string, at: string): string => `1 2 ${device} ${root} ${at} rw - tmpfs none rw\n`
  const own = parseMounts(`${line('0:1', '/', '/')}${line('0:9', '/', '/run')}${line('0:8', '/x', '/run')}`)
  const theirs = parseMounts(
    `${line('0:8', '/', '/whole')}${line('0:8', '/x/a\\040b', '/close')}${line('0:9', '/x', '/other')}${line('0:8', '/x/y', '/y')}`
  )
  assert.deepEqual(candidates('/run/a b/w', own, theirs), ['/close/w', '/whole/x/a b/w'])
  assert.deepEqual(candidates('/run', own, theirs), ['/whole/x'])
  assert.deepEqual(candidates('/run/a b', [], theirs), [])
  assert.deepEqual(parseMounts('nonsense\n\n'), [])
})
