import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'

const ROOT = join(import.meta.dirname, '..', '..')

interface Locked {
  readonly hasInstallScript?: boolean
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

test('the lock file is that of the manifest', () => {
  assert.deepEqual(lock.packages['']?.dependencies, manifest.dependencies)
  assert.deepEqual(lock.packages['']?.devDependencies, manifest.devDependencies)
})
