#!/usr/bin/env node
// Says what is wrong on a Node that is too old to load the rest, where the rest would fail with a syntax error.
import { existsSync } from 'node:fs'

const major = Number(process.versions.node.split('.')[0])
if (major < 24) {
  process.stderr.write(`warren: needs Node 24 or later, this is ${process.versions.node}\n`)
  process.exit(2)
}
const source = new URL('../src/cli/main.ts', import.meta.url)
const entry = existsSync(source) ? source : new URL('../dist/cli/main.js', import.meta.url)
const { main } = await import(entry.href)
await main(process.argv)
