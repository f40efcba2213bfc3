import assert from 'node:assert/strict'
import { existsSync, globSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'

const ROOT = join(import.meta.dirname, '..', '..')

interface Locked {
  readonly hasInstallScript?: boolean
  readonly version?: string
  readonly integrity?: string
  readonly dependencies?: Readonly<Record<string, string>>
  readonly devDependencies?: Readonly<Record<string, string>>
}

function json(name: string): unknown {
  return JSON.parse(readFileSync(join(ROOT, name), 'utf8'))
}

const manifest = json('package.json') as Locked & { readonly allowScripts: Readonly<Record<string, boolean>> }
const lock = json('package-lock.json') as { readonly packages: Readonly<Record<string, Locked>> }

test('every dependency with an install script is allowed or refused by name', () => {
  const scripted = Object.entries(lock.packages)
    .filter(([path, { hasInstallScript }]) => path !== '' && hasInstallScript === true)
    .map(([path]) => path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length))
  assert.deepEqual(Object.keys(manifest.allowScripts).sort(), [...new Set(scripted)].sort())
})

/**
 * Without a hash since the lock file was made where their tarballs could not be read. Other systems than Linux on x64 install them
 * unverified. Whoever adds the hash of one takes its name out here.
 */
const WITHOUT_INTEGRITY = [
  'node_modules/node-unix-socket-darwin-arm64',
  'node_modules/node-unix-socket-darwin-x64',
  'node_modules/node-unix-socket-linux-arm-gnueabihf',
  'node_modules/node-unix-socket-linux-arm64-gnu',
  'node_modules/node-unix-socket-linux-arm64-musl'
]

test('every entry of the lock file but those named here has its integrity, as SHA-512', () => {
  const without = Object.entries(lock.packages)
    .filter(([path, { integrity }]) => path !== '' && !/^sha512-[A-Za-z0-9+/]{86}==$/.test(integrity ?? ''))
    .map(([path]) => path)
  assert.deepEqual(without, WITHOUT_INTEGRITY)
})

test('the lock file is that of the manifest', () => {
  assert.deepEqual(lock.packages['']?.dependencies, manifest.dependencies)
  assert.deepEqual(lock.packages['']?.devDependencies, manifest.devDependencies)
})

test('a package whose private members are read has its exact version here and in the table of the shims', () => {
  const page = readFileSync(join(ROOT, 'src', 'mesh', 'libp2p-shims', 'README.md'), 'utf8')
  const rows = [...page.matchAll(/^\| `([^`]+)` \| `([^`]+)` \| ([\d.]+) \|/gm)]
  const folder = join(ROOT, 'src', 'mesh', 'libp2p-shims')
  for (const [, shim = '', name = '', version] of rows) {
    assert.ok(existsSync(join(folder, shim)), shim)
    assert.equal(manifest.dependencies?.[name], version, name)
    assert.equal(lock.packages[`node_modules/${name}`]?.version, version, name)
  }
  const named = new Set(rows.map(([, shim]) => shim))
  const missing = readdirSync(folder).filter(file => {
    const reads = /Reflect\.get\(|\.ping\(\)/.test(readFileSync(join(folder, file), 'utf8'))
    return file.endsWith('.ts') && reads && !named.has(file)
  })
  assert.deepEqual(missing, [])
})

test('private members of other code are read in no other place', () => {
  const allowed = /^src\/(mesh\/libp2p-shims\/.+|core\/node-internals)\.ts$/
  const found = globSync('src/**/*.ts', { cwd: ROOT }).filter(file => {
    const text = readFileSync(join(ROOT, file), 'utf8')
    return /\b_handle\b|getOwnPropertySymbols|\.description ===/.test(text) && !allowed.test(file)
  })
  assert.deepEqual(found, [])
})
