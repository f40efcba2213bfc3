// Makes what is published, into out/: for each architecture an executable, an archive, packages for Debian and for rpm, and an
// image for containers; a software bill of materials, licences, install.sh and checksums; with `--key FILE` (an Ed25519 key in
// PEM) a signature, and with `--rpm-key NAME` (a key of gpg) one in each rpm. Two runs on one commit make the same files.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { licensesOf } from '../licenses.ts'
import { bundle } from './bundle.ts'
import { NO_MAINTAINER, readMaintainer } from './describe.ts'
import { executable } from './executable.ts'
import { collectExtras } from './extras.ts'
import { Images } from './image/images.ts'
import { writeInstaller } from './installer.ts'
import { PartsOf } from './parts.ts'
import { PLATFORMS, type Platform } from './platforms.ts'
import { FORMS, type Form, publish } from './publish.ts'
import { readRpmKey, writeRpmKey } from './rpm-signature.ts'
import { run } from './run.ts'
import { sbom } from './sbom.ts'
import { readKey, writeSums } from './signature.ts'
import { requireTools } from './tools.ts'

const USAGE = `Usage: npm run release -- [--out DIR] [--arch x64,arm64] [--key FILE] [--rpm-key NAME] [--maintainer "NAME <ADDRESS>"] [--without deb,rpm,image]`

/** The public key of `--rpm-key`. */
const RPM_KEY = 'release.asc'

const root = resolve(import.meta.dirname, '..', '..')

interface Choice {
  readonly out: string
  readonly platforms: readonly Platform[]
  readonly keyFile: string | undefined
  readonly rpmKeyName: string | undefined
  readonly maintainer: string
  readonly without: readonly Form[]
}

function readArgs() {
  try {
    const { values } = parseArgs({
      options: {
        help: { type: 'boolean', default: false },
        out: { type: 'string', default: join(root, 'out') },
        arch: { type: 'string', default: PLATFORMS.map(({ arch }) => arch).join(',') },
        key: { type: 'string' },
        'rpm-key': { type: 'string' },
        maintainer: { type: 'string', default: NO_MAINTAINER },
        without: { type: 'string', default: '' }
      }
    })
    return values
  } catch (err) {
    throw new Error(`${err instanceof Error ? err.message : String(err)}. ${USAGE}`)
  }
}

/** Undefined where only the usage was asked for. */
function choose(): Choice | undefined {
  const values = readArgs()
  if (values.help) return undefined
  const platforms = list(values.arch).map(name => {
    const found = PLATFORMS.find(({ arch }) => arch === name)
    if (found === undefined) throw new Error(`no executable is made for "${name}". ${USAGE}`)
    return found
  })
  const without = list(values.without).map(name => {
    const found = FORMS.find(form => form === name)
    if (found === undefined) throw new Error(`"${name}" is none of ${FORMS.join(', ')}. ${USAGE}`)
    return found
  })
  const maintainer = readMaintainer(values.maintainer)
  const { key: keyFile, 'rpm-key': rpmKeyName } = values
  if (rpmKeyName !== undefined && without.includes('rpm'))
    throw new Error(`--rpm-key goes without --without rpm. ${USAGE}`)
  return { out: resolve(values.out), platforms, keyFile, rpmKeyName, maintainer, without }
}

function list(text: string): string[] {
  return text.split(',').filter(word => word !== '')
}

async function release({ out, platforms, keyFile, rpmKeyName, maintainer, without }: Choice): Promise<void> {
  // Before the work of minutes.
  const key = keyFile === undefined ? undefined : readKey(keyFile)
  requireTools(without)
  const rpmKey = rpmKeyName === undefined ? undefined : readRpmKey(rpmKeyName)
  // Modes of files must not depend on who builds.
  process.umask(0o022)
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
    writeInstaller({ root, file: join(out, 'install.sh'), key })
    const names = ['sbom.cdx.json', 'THIRD-PARTY-LICENSES.txt', 'install.sh']
    if (rpmKey !== undefined) {
      writeRpmKey(join(out, RPM_KEY), rpmKey)
      names.push(RPM_KEY)
    }
    const extras = collectExtras({ root, work, epochSeconds })
    if (extras.missing.length > 0) say(`without ${extras.missing.join(', ')}: not in this version`)
    const images = new Images({ root, version, work, out, epochSeconds })
    const publishing = {
      root,
      version,
      maintainer,
      licenses,
      sbom: bom,
      extras,
      epochSeconds,
      without,
      rpmKey,
      images,
      out,
      work
    }
    const parts = new PartsOf(root, work)
    for (const platform of platforms) {
      const name = `warren-${version}-linux-${platform.arch}`
      say(name)
      const collected = parts.collect(platform)
      for (const missing of collected.missing) say(`  without ${missing}`)
      const file = join(work, name)
      executable({ platform, parts: collected, bundle: code, work, file })
      names.push(...publish(platform, name, file, publishing))
    }
    if (!without.includes('image')) names.push(images.writeAll())
    const sums = await writeSums(out, names, key)
    for (const name of [...names, ...sums]) process.stdout.write(`${join(out, name)}\n`)
    if (without.length > 0) say(`not made, as told by --without: ${without.join(', ')}`)
    if (key === undefined) say('not signed: give --key FILE (openssl genpkey -algorithm ed25519 -out FILE)')
    if (maintainer === NO_MAINTAINER)
      say('the packages name nobody who answers for them: give --maintainer "NAME <ADDRESS>"')
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

function say(text: string): void {
  process.stderr.write(`release: ${text}\n`)
}

try {
  const choice = choose()
  if (choice === undefined) process.stdout.write(`${USAGE}\n`)
  else await release(choice)
} catch (err) {
  say(err instanceof Error ? err.message : String(err))
  process.exitCode = 1
}
