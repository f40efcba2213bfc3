// Makes what is published, into out/: for each architecture an executable, an archive and a Debian package; a software bill
// of materials, licences and checksums; with `--key FILE` (an Ed25519 key in PEM) a signature. Two runs on one commit make
// the same files.
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { licensesOf } from '../licenses.ts'
import { archive } from './archive.ts'
import { bundle } from './bundle.ts'
import { deb } from './deb.ts'
import { executable } from './executable.ts'
import { PartsOf } from './parts.ts'
import { PLATFORMS, type Platform } from './platforms.ts'
import { run } from './run.ts'
import { sbom } from './sbom.ts'
import { readKey, writeSums } from './signature.ts'
import { layOut } from './tree.ts'

const USAGE = 'Usage: npm run release -- [--out DIR] [--arch x64,arm64] [--key FILE]'

const root = resolve(import.meta.dirname, '..', '..')

interface Choice {
  readonly out: string
  readonly platforms: readonly Platform[]
  readonly keyFile: string | undefined
}

function choose(): Choice {
  const { values } = parseArgs({
    options: {
      out: { type: 'string', default: join(root, 'out') },
      arch: { type: 'string', default: PLATFORMS.map(({ arch }) => arch).join(',') },
      key: { type: 'string' }
    }
  })
  const platforms = values.arch.split(',').map(name => {
    const found = PLATFORMS.find(({ arch }) => arch === name)
    if (found === undefined) throw new Error(`no executable is made for "${name}". ${USAGE}`)
    return found
  })
  return { out: resolve(values.out), platforms, keyFile: values.key }
}

async function release({ out, platforms, keyFile }: Choice): Promise<void> {
  // Before the work of a minute.
  const key = keyFile === undefined ? undefined : readKey(keyFile)
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { readonly version: string }
  const epochSeconds = Number(
    process.env['SOURCE_DATE_EPOCH'] ?? run('git', ['log', '-1', '--format=%ct'], { cwd: root })
  )
  const work = mkdtempSync(join(tmpdir(), 'warren-release-'))
  try {
    mkdirSync(out, { recursive: true })
    const code = join(work, 'warren.cjs')
    say('bundle')
    const licenses = licensesOf(root, await bundle({ root, version, file: code }))
    const bom = sbom({ root, version, nodeVersion: process.versions.node, epochSeconds })
    writeFileSync(join(out, 'sbom.cdx.json'), bom)
    writeFileSync(join(out, 'THIRD-PARTY-LICENSES.txt'), licenses)
    const parts = new PartsOf(root, work)
    const names = ['sbom.cdx.json', 'THIRD-PARTY-LICENSES.txt']
    for (const platform of platforms) {
      const name = `warren-${version}-linux-${platform.arch}`
      say(name)
      const collected = parts.collect(platform)
      for (const missing of collected.missing) say(`  without ${missing}`)
      const file = join(work, name)
      executable({ platform, parts: collected, bundle: code, work, file })
      names.push(...publish({ platform, name, file, licenses, bom, version, out, work, epochSeconds }))
    }
    const sums = await writeSums(out, names, key)
    for (const name of [...names, ...sums]) process.stdout.write(`${join(out, name)}\n`)
    if (key === undefined) say('not signed: give --key FILE (openssl genpkey -algorithm ed25519 -out FILE)')
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

interface Publishing {
  readonly platform: Platform
  readonly name: string
  readonly file: string
  readonly licenses: string
  readonly bom: string
  readonly version: string
  readonly out: string
  readonly work: string
  readonly epochSeconds: number
}

function publish({ platform, name, file, licenses, bom, version, out, work, epochSeconds }: Publishing): string[] {
  const parent = join(work, `archive-${platform.arch}`)
  const inside = join(parent, name)
  mkdirSync(inside, { recursive: true })
  copyFileSync(file, join(inside, 'warren'))
  for (const text of ['LICENSE', 'README.md', 'CHANGELOG.md']) copyFileSync(join(root, text), join(inside, text))
  writeFileSync(join(inside, 'THIRD-PARTY-LICENSES.txt'), licenses)
  const packed = `${name}.tar.gz`
  archive({ parent, name, file: join(out, packed), epochSeconds })
  const tree = join(work, `deb-${platform.arch}`)
  layOut({ root, to: tree, executable: file, licenses, sbom: bom })
  const debian = `warren_${version}_${platform.deb}.deb`
  deb({ root, tree, arch: platform.deb, version, file: join(out, debian), epochSeconds })
  move(file, join(out, name))
  return [name, packed, debian]
}

function move(from: string, to: string): void {
  try {
    renameSync(from, to)
  } catch {
    // Another file system.
    copyFileSync(from, to)
  }
}

function say(text: string): void {
  process.stderr.write(`release: ${text}\n`)
}

try {
  await release(choose())
} catch (err) {
  say(err instanceof Error ? err.message : String(err))
  process.exitCode = 1
}
