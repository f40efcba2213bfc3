import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import test from 'node:test'
import { promisify } from 'node:util'

// What is loaded, rather than what is written: also through the packages that the agent uses.
const LIST = `
import { registerHooks } from 'node:module'
const seen = []
registerHooks({ load: (url, context, next) => { seen.push(url); return next(url, context) } })
for (const url of process.argv.slice(1)) await import(url)
console.log(JSON.stringify(seen))
`

async function loadedWith(...files: readonly string[]): Promise<string[]> {
  const urls = files.map(file => new URL(`../../src/${file}`, import.meta.url).href)
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', LIST, ...urls])
  return JSON.parse(stdout) as string[]
}

test('an agent without traces loads nothing of OpenTelemetry, and one with traces the official packages', async () => {
  // prom-client itself loads the interfaces from its sources; the bundles leave that part out.
  const isSdk = (url: string): boolean => /@opentelemetry\/(?!api\/)|src\/traces\/(?!index|open)/.test(url)
  const without = await loadedWith('agent/index.ts')
  assert.ok(without.some(url => url.endsWith('src/traces/open.ts')))
  assert.deepEqual(without.filter(isSdk), [])
  const packages = (await loadedWith('traces/start.ts')).flatMap(
    url => /@opentelemetry\/([a-z-]+)/.exec(url)?.slice(1) ?? []
  )
  // An exporter adds headers that variables of the environment name.
  assert.deepEqual(
    packages.filter(name => name.includes('exporter')),
    []
  )
  for (const name of ['api', 'sdk-trace', 'resources', 'otlp-transformer']) assert.ok(packages.includes(name), name)
})
