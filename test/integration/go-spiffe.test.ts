import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { after } from 'node:test'
import { isInstalled, Program, scopeOf, startPair, type TestAgent, waitFor } from '../harness/index.ts'

const SITE = 'dev.web.site.default'
const SHOP = 'dev.shop.cart.default'
const ID = 'spiffe://example.org'

const directory = mkdtempSync(join(tmpdir(), 'warren-go-'))
after(() => rmSync(directory, { recursive: true, force: true }))
const program = join(directory, 'go-spiffe')

/** Why the SPIFFE library for Go that others wrote cannot be had here; undefined when the program is built. */
function build(): string | undefined {
  if (!isInstalled('go')) return 'needs go, which is not installed'
  const source = join(directory, 'source')
  cpSync(join(import.meta.dirname, 'go-spiffe'), source, { recursive: true })
  // Modules go where the test cleans up, and can be removed there; what Go compiles stays in its own cache.
  const go = {
    GOPATH: join(directory, 'go'),
    GOMODCACHE: join(directory, 'go', 'mod'),
    GOFLAGS: '',
    GOTOOLCHAIN: 'local'
  }
  const quiet = { cwd: source, env: { ...process.env, ...go }, stdio: 'pipe', encoding: 'utf8' } as const
  try {
    execFileSync('go', ['mod', 'download', '-modcacherw'], { ...quiet, timeout: 60_000 })
  } catch (err) {
    return `go-spiffe cannot be downloaded, or needs a newer go: ${lastLine(err)}`
  }
  execFileSync('go', ['build', '-modcacherw', '-trimpath', '-buildvcs=false', '-o', program, '.'], {
    ...quiet,
    timeout: 300_000
  })
  return undefined
}

function lastLine(err: unknown): string {
  const text = String((err as { stderr?: string }).stderr ?? err)
  return text.trim().split('\n').at(-1) ?? ''
}

const unavailable = build()

function workload(scope: ReturnType<typeof scopeOf>, agent: TestAgent, ...args: string[]): Program {
  return new Program(scope, [program, join(agent.runtimeDir, 'spiffe.sock'), ...args])
}

test('two workloads with go-spiffe get their identities, see a rotation, and trust each other by SPIFFE ID', {
  skip: unavailable ?? false
}, async t => {
  const scope = scopeOf(t)
  // Long enough that both ask within one life, short enough to be renewed while they look.
  const [a, b] = await startPair(scope, { args: ['--svid-lifetime', '10s'] })
  await a.cli('register', SITE, '--ttl', '1h')
  await b.cli('register', SHOP, '--ttl', '1h')

  const server = workload(scope, a)
  // Leaf, node CA and authority; one root.
  await server.says(new RegExp(`^svid ${ID}/dev/web/site/default/a 3 1$`, 'm'))
  const [, address = ''] = await server.says(/^serving (.*)$/m)
  const ask = async (peer: string): Promise<string> => (await workload(scope, b, peer, address).outcome()).stdout

  assert.match(
    await ask(`${ID}/dev/web/site/default/a`),
    new RegExp(`^heard hello ${ID}/dev/shop/cart/default/b$`, 'm')
  )
  await server.says(new RegExp(`^accepted ${ID}/dev/shop/cart/default/b$`, 'm'))
  // The same host under another name is not what was asked for.
  assert.match(await ask(`${ID}/dev/web/other/default/a`), /^failed: .*unexpected ID/m)

  const serial = (): string | undefined => server.stdout.match(/^serial .*$/gm)?.at(-1)
  server.stdin.write('\n')
  await server.says(/^serial /m)
  const before = serial()
  // The stream brings the renewed one, while the agent runs on.
  await waitFor(() => {
    server.stdin.write('\n')
    return serial() !== before
  }, 'another certificate')
  assert.match(await ask(`${ID}/dev/web/site/default/a`), /^heard hello/m)
})
