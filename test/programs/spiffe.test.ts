import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { Program, type Scope, scopeOf, TestAgent, waitFor } from '../harness/index.ts'
import { envoyConfig } from './support/envoy-config.ts'
import { type ClientName, clientOf, DIRECTORY, freePort } from './support/spiffe-clients.ts'
import { needsPrograms } from './support/stage.ts'

const ID = 'spiffe://example.org/dev/web/site/default/a'
const CLIENT_ID = 'spiffe://example.org/dev/web/client/default/a'
/** Renewed every nine seconds: each client waits for a renewal. */
const LIFETIME = '20s'

/** What to run, or undefined: then the test is skipped and says why. */
function had(t: TestContext, name: ClientName): readonly string[] | undefined {
  const got = clientOf(name)
  if ('argv' in got) return got.argv
  t.skip(got.missing)
  return undefined
}

/** Runs a client that says what it got, and when it was renewed, and ends. */
async function getsAndRenews(scope: Scope, argv: readonly string[], got: RegExp): Promise<void> {
  const client = new Program(scope, argv)
  await client.says(got)
  await client.says(new RegExp(`^renewed ${ID}$`, 'm'))
  const { code, stdout, stderr } = await client.outcome()
  assert.equal(code, 0, stdout + stderr)
}

test('clients of SPIFFE and Envoy that others wrote get all that one agent gives, and each renewal', async t => {
  if (process.env['TEST_SPIFFE'] === undefined) {
    t.skip('npm run test:spiffe runs it')
    return
  }
  if (!needsPrograms(t, 'curl')) return
  const scope = scopeOf(t)
  const agent = new TestAgent(scope, { name: 'a', args: ['--init', 'example.org', '--svid-lifetime', LIFETIME] })
  await agent.start()
  const uid = String(process.getuid?.())
  await agent.cli('entry', 'add', '--uid', uid, '--dns-name', 'localhost', 'dev.web.*.default')
  await agent.cli(
    'register',
    'dev.web.site.default',
    '--pid',
    String(process.pid),
    '--for-user',
    '--ttl',
    '1h',
    '--dns-name',
    'localhost'
  )
  const path = join(agent.runtimeDir, 'spiffe.sock')
  const socket = `unix://${path}`

  await t.test('py-spiffe', async t => {
    const argv = had(t, 'py-spiffe')
    if (argv !== undefined) await getsAndRenews(scope, [...argv, socket], new RegExp(`^got ${ID} ${ID}$`, 'm'))
  })

  await t.test('java-spiffe, whose gRPC sends the path of the socket as the authority', async t => {
    const argv = had(t, 'java-spiffe')
    if (argv !== undefined) await getsAndRenews(scope, [...argv, `unix:${path}`], new RegExp(`^got ${ID} ${ID}$`, 'm'))
  })

  await t.test('the crate spiffe of Rust', async t => {
    const argv = had(t, 'rust')
    if (argv !== undefined) await getsAndRenews(scope, [...argv, `unix:${path}`], new RegExp(`^got ${ID} ${ID}$`, 'm'))
  })

  await t.test('go-spiffe, with WIT-SVIDs', async t => {
    const argv = had(t, 'go')
    const got = new RegExp(`^got ${ID} ${ID} ${ID}$`, 'm')
    if (argv !== undefined) await getsAndRenews(scope, [...argv, socket, 'go-spiffe'], got)
  })

  await t.test('a client of the secret discovery service, made from the definitions of Envoy', async t => {
    const argv = had(t, 'go')
    if (argv !== undefined) await getsAndRenews(scope, [...argv, socket, 'envoy'], new RegExp(`^got ${ID}$`, 'm'))
  })

  await t.test('spire-agent api', async t => {
    const argv = had(t, 'go')
    if (argv === undefined) return
    const { code, stdout, stderr } = await new Program(scope, [...argv, socket, 'spire-agent']).outcome()
    assert.equal(code, 0, stdout + stderr)
    assert.match(stdout, new RegExp(`^SPIFFE ID:\\s+${ID}$`, 'm'))
    assert.match(stdout, new RegExp(`^token\\(${ID}\\):$`, 'm'))
  })

  await t.test('grpcurl, by reflection and the health check', async t => {
    const argv = had(t, 'grpcurl')
    if (argv === undefined) return
    const ask = async (...args: string[]) => {
      const { code, stdout, stderr } = await new Program(scope, [...argv, '-plaintext', '-unix', ...args]).outcome()
      return { code, stdout, stderr }
    }
    assert.match((await ask(path, 'list')).stdout, /^SpiffeWorkloadAPI$/m)
    assert.match((await ask(path, 'describe', 'SpiffeWorkloadAPI')).stdout, /rpc FetchWITSVID/)
    assert.match((await ask(path, 'grpc.health.v1.Health/Check')).stdout, /"SERVING"/)
    const header = ['-H', 'workload.spiffe.io: true', '-d', '{"audience":["db"]}']
    assert.match((await ask(...header, path, 'SpiffeWorkloadAPI/FetchJWTSVID')).stdout, new RegExp(`"${ID}"`))
    const none = await ask('-proto', 'none.proto', '-import-path', DIRECTORY, path, 'None/Call')
    assert.match(none.stderr, /Code: Unimplemented/)
  })

  await t.test('Envoy serves with the certificate that it gets, and lets in whom its configuration names', async t => {
    const argv = had(t, 'envoy')
    if (argv === undefined) return
    const [port, admin] = [freePort(), freePort()]
    const config = join(scope.directory(), 'envoy.json')
    writeFileSync(config, JSON.stringify(envoyConfig({ socket: path, port, admin, client: CLIENT_ID })))
    const envoy = new Program(scope, [...argv, '-c', config, '--concurrency', '1', '--use-dynamic-base-id'])
    await envoy.says(/starting main dispatch loop/, 'stderr')
    const ask = async (name: string) => {
      const out = join(scope.directory(), name)
      await agent.cli('svid', 'fetch', `dev.web.${name}.default`, '--out', out)
      const pair = ['--cert', `${out}/svid.pem`, '--key', `${out}/svid_key.pem`, '--cacert', `${out}/bundle.pem`]
      return await new Program(scope, ['curl', '-sS', ...pair, `https://localhost:${port}/`]).outcome()
    }
    const stats = async (): Promise<string> => await (await fetch(`http://127.0.0.1:${admin}/stats`)).text()
    await waitFor(async () => /sds\.ROOTCA\.update_success: [1-9]/.test(await stats()), 'the roots at Envoy')
    await waitFor(async () => (await ask('client')).stdout === 'hello\n', 'an answer of Envoy')
    assert.notEqual((await ask('other')).code, 0)
    const versions = async () => Number(/sds\.default\.update_success: (\d+)/.exec(await stats())?.[1])
    const before = await versions()
    await waitFor(async () => (await versions()) > before, 'a renewed certificate at Envoy')
    assert.equal((await ask('client')).stdout, 'hello\n')
    assert.match(await stats(), /sds\.default\.update_rejected: 0/)
  })
})
