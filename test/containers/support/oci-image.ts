import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Scope } from '../../harness/index.ts'

const KIND = 'application/vnd.oci.image'

/**
 * Writes an image in an archive of the OCI layout. It has the directories at which containers mount the system, and what a
 * container without mounts needs to sleep.
 */
export function emptyImage(scope: Scope, name: string, labels: Readonly<Record<string, string>>): string {
  const [root, layout] = [scope.directory(), scope.directory()]
  for (const path of ['usr', 'bin', 'lib', 'lib64', 'tmp', 'srv', 'etc', 'run', 'proc', 'sys', 'dev'])
    mkdirSync(join(root, path), { recursive: true })
  const libraries = execFileSync('ldd', ['/bin/sleep'], { encoding: 'utf8' }).match(/\/\S+/g) ?? []
  for (const path of ['/bin/sleep', ...libraries]) {
    mkdirSync(join(root, dirname(path)), { recursive: true })
    copyFileSync(path, join(root, path))
  }
  const blobs = join(layout, 'blobs', 'sha256')
  mkdirSync(blobs, { recursive: true })
  const put = (content: Buffer | object): { readonly digest: string; readonly size: number } => {
    const bytes = Buffer.isBuffer(content) ? content : Buffer.from(JSON.stringify(content))
    const hex = createHash('sha256').update(bytes).digest('hex')
    writeFileSync(join(blobs, hex), bytes)
    return { digest: `sha256:${hex}`, size: bytes.length }
  }
  const layer = put(execFileSync('tar', ['-C', root, '-cf', '-', '.'], { maxBuffer: 64 * 1024 * 1024 }))
  const config = put({
    architecture: process.arch === 'x64' ? 'amd64' : process.arch,
    os: 'linux',
    config: { Cmd: ['/bin/sleep', '600'], Labels: labels },
    rootfs: { type: 'layers', diff_ids: [layer.digest] }
  })
  const manifest = put({
    schemaVersion: 2,
    mediaType: `${KIND}.manifest.v1+json`,
    config: { mediaType: `${KIND}.config.v1+json`, ...config },
    layers: [{ mediaType: `${KIND}.layer.v1.tar`, ...layer }],
    annotations: labels
  })
  writeFileSync(join(layout, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
  const named = { 'io.containerd.image.name': name, 'org.opencontainers.image.ref.name': name }
  const manifests = [{ mediaType: `${KIND}.manifest.v1+json`, ...manifest, annotations: named }]
  writeFileSync(join(layout, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests }))
  const archive = join(scope.directory(), 'image.tar')
  execFileSync('tar', ['-C', layout, '-cf', archive, '.'])
  return archive
}
