import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { after, before } from 'node:test'
import { asRoot, needsCommand, Program, scopeOf, waitFor } from '../harness/index.ts'
import { releaseOptions as options, Release } from './support/released.ts'

const NAME = 'localhost/warren'
const USER = 65_532
const scope = scopeOf({ after: release => after(release as () => void) })
let layout = ''
let release: Release

before(() => {
  if (options.skip !== undefined) return
  release = Release.any(scope, { without: 'deb,rpm' })
  layout = scope.directory()
  execFileSync('tar', ['-xf', release.file(/oci\.tar$/), '-C', layout])
})

interface Descriptor {
  readonly digest: string
  readonly size: number
  readonly platform?: { readonly architecture: string }
}

function blob({ digest, size }: Descriptor): Buffer {
  const content = readFileSync(join(layout, 'blobs', digest.replace(':', '/')))
  assert.equal(content.length, size)
  return content
}

function parsed<T>(descriptor: Descriptor): T {
  return JSON.parse(blob(descriptor).toString()) as T
}

test('the layout has what its index names, for each architecture, and nothing else', options, () => {
  const { manifests } = JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8')) as { manifests: Descriptor[] }
  const [all] = manifests
  assert.ok(all !== undefined && manifests.length === 1)
  const named = [all.digest]
  for (const image of parsed<{ manifests: Descriptor[] }>(all).manifests) {
    assert.match(image.platform?.architecture ?? '', /^(amd64|arm64)$/)
    const { config, layers } = parsed<{ config: Descriptor; layers: Descriptor[] }>(image)
    named.push(image.digest, config.digest, ...layers.map(({ digest }) => digest))
    const diffs = layers.map(layer => {
      const tar = execFileSync('gzip', ['-dc'], { input: blob(layer), maxBuffer: 256 * 1024 * 1024 })
      return `sha256:${createHash('sha256').update(tar).digest('hex')}`
    })
    assert.deepEqual(parsed<{ rootfs: { diff_ids: string[] } }>(config).rootfs.diff_ids, diffs)
  }
  const blobs = readdirSync(join(layout, 'blobs/sha256'))
  assert.deepEqual(blobs.map(name => `sha256:${name}`).toSorted(), [...new Set(named)].toSorted())
  for (const name of blobs)
    assert.equal(
      createHash('sha256')
        .update(readFileSync(join(layout, 'blobs/sha256', name)))
        .digest('hex'),
      name
    )
})

test('an image has an executable, its libraries with their licences, and no shell', options, () => {
  const files = readdirSync(join(layout, 'blobs/sha256')).flatMap(name => {
    const { stdout, status } = spawnSync('tar', ['-tzf', join(layout, 'blobs/sha256', name)], { encoding: 'utf8' })
    return status === 0 ? stdout.split('\n') : []
  })
  for (const name of [
    'usr/bin/warren',
    'usr/bin/getent',
    'usr/share/doc/libc6/copyright',
    'usr/share/doc/gcc-12-base/copyright'
  ])
    assert.ok(files.includes(`./${name}`), name)
  assert.deepEqual(
    files.filter(path => /\/s?bin\/.|\/(sh|bash|dash)$/.test(path) && !/\/(warren|getent)$/.test(path)),
    []
  )
})

test('podman loads both files as one image, and runs an agent whose state outlives its container', {
  ...asRoot,
  ...options
}, async t => {
  if (!needsCommand(t, 'podman')) return
  const own = scopeOf(t)
  const { podman, run } = engine(own.directory())
  own.defer(() => run('rm', '--force', '--all', '--volumes'))
  const load = (file: RegExp) => run('load', '--input', release.file(file)).trim()
  assert.equal(load(/image\.tar$/), load(/oci\.tar$/))
  const [image = ''] = run('images', '--format', '{{.Repository}}:{{.Tag}}').trim().split('\n')
  assert.match(image, new RegExp(`^${NAME}:\\d`))
  // What is a limit of the machine of the test may not be raised by the engine.
  const limits = ['--cgroups=disabled', '--network=none', '--ulimit=nofile=1024:1024', '--ulimit=nproc=1000:1000']
  assert.match(run('run', '--rm', ...limits, image, '--version'), /^\d+\.\d+\.\d+\n$/)

  const volumes = ['--volume', 'state:/var/lib/warren']
  const start = async (...args: readonly string[]): Promise<Program> => {
    const agent = new Program(own, podman('run', '--rm', '--name=agent', ...volumes, ...limits, image, 'up', ...args))
    await agent.says(/ready in/, 'stderr')
    return agent
  }
  const first = await start('--init', 'example.org', '--no-mdns')
  const status = run('exec', 'agent', '/usr/bin/warren', 'status')
  assert.match(status, /example\.org/)
  const pid = run('inspect', '--format', '{{.State.Pid}}', 'agent').trim()
  assert.match(readFileSync(`/proc/${pid}/status`, 'utf8'), new RegExp(`^Uid:\\s${USER}\\s`, 'm'))
  run('stop', 'agent')
  assert.equal((await first.outcome()).code, 0)
  const second = await start('--no-mdns')
  const again = await waitFor(() => run('exec', 'agent', '/usr/bin/warren', 'status'), 'the second agent')
  const peerOf = (text: string) => /^peer +(\S+)$/m.exec(text)?.[1]
  assert.equal(peerOf(again), peerOf(status))
  run('stop', 'agent')
  assert.equal((await second.outcome()).code, 0)
})

/** podman with a storage of its own, where cgroups are as it knows them, whatever this machine has. */
function engine(base: string) {
  const script = join(base, 'podman.sh')
  const storage = `--root ${base}/root --runroot ${base}/run --storage-driver=vfs --cgroup-manager=cgroupfs`
  const lines = [
    'mount --make-rprivate /',
    'umount -R /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup',
    `exec podman ${storage} "$@"`
  ]
  writeFileSync(script, lines.join('\n'))
  const podman = (...args: readonly string[]): string[] => ['unshare', '--mount', '/bin/sh', '-e', script, ...args]
  const run = (...args: readonly string[]): string => {
    const [command = '', ...rest] = podman(...args)
    return execFileSync(command, rest, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
  }
  return { podman, run }
}
