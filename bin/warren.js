#!/usr/bin/env node
// Runs on any Node, so that an old one gets a sentence and not a syntax error.
import { existsSync, lstatSync, mkdirSync, readdirSync, statSync } from 'node:fs'
import * as nodeModule from 'node:module'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const major = Number(process.versions.node.split('.')[0])
if (major < 24) {
  process.stderr.write(`warren: needs Node 24 or later, this is ${process.versions.node}\n`)
  process.exit(2)
}
if (process.argv.includes('up')) restrainYoungHeap()
cacheCompiledCode()
const { main } = await import(new URL(isBuilt() ? '../dist/cli/main.js' : '../src/cli/main.ts', import.meta.url).href)
await main(process.argv)

// The published package has no sources. In a checkout, what is built starts three times as fast, and is used until a source
// or a dependency is changed.
function isBuilt() {
  const root = fileURLToPath(new URL('..', import.meta.url))
  const sources = join(root, 'src')
  if (!existsSync(sources)) return true
  const built = statSync(join(root, 'dist', 'cli', 'main.js'), { throwIfNoEntry: false })
  if (built === undefined) return false
  // The folders as well, whose time tells of a file that is gone.
  const names = [
    'src',
    'package-lock.json',
    ...readdirSync(sources, { recursive: true }).map(name => join('src', name))
  ]
  return names.every(name => statSync(join(root, name)).mtimeMs < built.mtimeMs)
}

// What an agent brokers passes through buffers outside of the heap, which are freed only when their young owners are
// collected. With a small young generation that is soon: 200 MB each way at once cost the two agents 33 MB of memory each
// and not 66 (test/integration/bulk.test.ts). V8 takes this size only at its start, so the process begins anew, in place.
function restrainYoungHeap() {
  const flag = '--max-semi-space-size'
  if (process.execArgv.some(given => given.startsWith(flag)) || typeof process.execve !== 'function') return
  try {
    process.execve(process.execPath, [process.execPath, `${flag}=1`, ...process.execArgv, ...process.argv.slice(1)])
  } catch {
    // Where a process cannot be replaced, it uses more memory.
  }
}

// Saves about a third of the start-up time. Never in a directory that another user could write to: what is in the cache
// is executed. So not Node's default below /tmp, and the home directory as the system knows it, not as $HOME says.
function cacheCompiledCode() {
  try {
    const { uid, homedir } = userInfo()
    const directory = join(homedir, '.cache', 'warren')
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    const found = lstatSync(directory)
    if (found.isDirectory() && found.uid === uid && (found.mode & 0o022) === 0) nodeModule.enableCompileCache(directory)
  } catch {
    // Without a home directory it starts more slowly.
  }
}
