import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { after } from 'node:test'
import { Program, scopeOf, TestAgent } from '../harness/index.ts'

const venv = mkdtempSync(join(tmpdir(), 'warren-spiffe-'))
after(() => rmSync(venv, { recursive: true }))

/** Why the SPIFFE client that others wrote cannot be had here; undefined when it is installed. */
function install(): string | undefined {
  try {
    const quiet = { stdio: 'pipe', timeout: 120_000 } as const
    execFileSync('python3', ['-m', 'venv', venv], quiet)
    execFileSync(join(venv, 'bin/pip'), ['install', '--quiet', '--disable-pip-version-check', 'spiffe==0.3.2'], quiet)
    return undefined
  } catch (err) {
    return `py-spiffe cannot be installed: ${String(err).split('\n', 1)[0]}`
  }
}

const CLIENT = `
import sys
from cryptography.hazmat.primitives.asymmetric import ec
from spiffe import JwtSvid, WorkloadApiClient
client = WorkloadApiClient('unix://' + sys.argv[1])
try:
    client.fetch_x509_svid()
    print('unexpected')
except Exception as err:
    print('refused' if 'PERMISSION_DENIED' in str(err) else err)
print('ready', flush=True)
sys.stdin.readline()
contexts = []
import threading
heard = threading.Semaphore(0)
def on_success(context):
    contexts.append(context)
    heard.release()
stream = client.stream_x509_contexts(on_success=on_success, on_error=lambda err: print('stream', err, flush=True))
heard.acquire(timeout=20)
svid = contexts[0].default_svid
print('svid', svid.spiffe_id, isinstance(svid.private_key, ec.EllipticCurvePrivateKey), flush=True)
jwt = client.fetch_jwt_svid(audience={'db'})
bundles = client.fetch_jwt_bundles()
local = JwtSvid.parse_and_validate(jwt.token, bundles.get_bundle_for_trust_domain(jwt.spiffe_id.trust_domain), {'db'})
print('jwt', local.spiffe_id, client.validate_jwt_svid(jwt.token, audience='db').spiffe_id, flush=True)
sys.stdin.readline()
heard.acquire(timeout=20)
print('now', len(contexts[-1].x509_svids), flush=True)
`

const unavailable = install()

test('a SPIFFE client that others wrote gets its identity, hears of changes, and validates tokens', {
  skip: unavailable ?? false
}, async t => {
  const scope = scopeOf(t)
  const agent = await new TestAgent(scope, { name: 'a', args: ['--init', 'example.org'] }).start()
  const client = new Program(scope, [join(venv, 'bin/python'), '-c', CLIENT, join(agent.runtimeDir, 'spiffe.sock')])
  await client.says(/^refused\nready$/m)
  await agent.cli('register', 'dev.web.nginx.default')
  client.stdin.write('\n')
  await client.says(/^svid spiffe:\/\/example\.org\/dev\/web\/nginx\/default\/a True$/m)
  const id = 'spiffe://example.org/dev/web/nginx/default/a'
  await client.says(new RegExp(`^jwt ${id} ${id}$`, 'm'))
  await agent.cli('register', 'dev.web.second.default')
  client.stdin.write('\n')
  await client.says(/^now 2$/m)
  assert.equal((await client.outcome()).code, 0)
})
