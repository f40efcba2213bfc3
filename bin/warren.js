#!/usr/bin/env node
// Runs on any Node, so that an old one gets a sentence and not a syntax error.
import { existsSync, lstatSync, mkdirSync } from 'node:fs'
import * as nodeModule from 'node:module'
import { userInfo } from 'node:os'
import { join } from 'node:path'

const major = Number(process.versions.node.split('.')[0])
if (major < 24) {
  process.stderr.write(`warren: needs Node 24 or later, this is ${process.versions.node}\n`)
  process.exit(2)
}
cacheCompiledCode()
const source = new URL('../src/cli/main.ts', import.meta.url)
const entry = existsSync(source) ? source : new URL('../dist/cli/main.js', import.meta.url)
const { main } = await import(entry.href)
await main(process.argv)

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
