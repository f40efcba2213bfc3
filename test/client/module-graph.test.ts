import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'

const INDEX = new URL('../../src/client/index.ts', import.meta.url)

// What is loaded, rather than what is written: also through the packages that the library uses.
const LIST = `
import { registerHooks } from 'node:module'
const seen = []
registerHooks({ load: (url, context, next) => { seen.push(url); return next(url, context) } })
await import(process.argv[1])
console.log(JSON.stringify(seen))
`

test('the library loads neither the mesh nor libp2p, nor anything of ours but wire and core', async () => {
  const args = ['--input-type=module', '-e', LIST, INDEX.href]
  const { stdout } = await promisify(execFile)(process.execPath, args)
  const urls: string[] = JSON.parse(stdout)
  const ours = urls.filter(url => !url.includes('/node_modules/') && url.startsWith('file:'))
  assert.ok(ours.some(url => url.endsWith('src/client/connect.ts')))
  const root = pathToFileURL(new URL('../../src/', import.meta.url).pathname).href
  for (const url of ours) assert.match(url.slice(root.length), /^(client|wire|core)\//)
  const packages = urls.flatMap(url => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url)?.[1] ?? [])
  assert.deepEqual([...new Set(packages)].sort(), [
    '@bufbuild/protobuf',
    '@connectrpc/connect',
    '@connectrpc/connect-node'
  ])
})
