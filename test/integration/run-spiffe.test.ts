import assert from 'node:assert/strict'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { needsCommand, needsRoot, type Outcome, scopeOf, TestAgent, waitFor } from '../harness/index.ts'

const AS = 'dev.shop.cart.default'
const OTHER_UID = 61_330
const ID = `spiffe://example.org/${AS.replaceAll('.', '/')}/a`

/** Asks for a JWT-SVID as curl would at a socket, and prints the whole answer. */
const ASK = `ask() { curl -sS --max-time 20 --unix-socket "$1" -H 'workload.spiffe.io: true' -H 'content-type: application/json' \
  -d '{"audience":["x"]}' http://localhost/SpiffeWorkloadAPI/FetchJWTSVID; }
own=\${SPIFFE_ENDPOINT_SOCKET#unix://}
`

async function oneAgent(t: TestContext) {
  const scope = scopeOf(t)
  const agent = await new TestAgent(scope, { name: 'a', args: ['--init', 'example.org'] }).start()
  const sh = (script: string, ...options: string[]): Promise<Outcome> =>
    agent.attempt(['run', '--as', AS, ...options, '--', '/bin/sh', '-c', ASK + script])
  return { scope, agent, sh }
}

const idsIn = (text: string): string[] => [...text.matchAll(/"spiffeId":"([^"]+)"/g)].map(([, id = '']) => id)

test('the SPIFFE socket of a command gives the identity of --as alone, and nobody else of the user gets that', async t => {
  if (!needsCommand(t, 'curl')) return
  const { agent, sh } = await oneAgent(t)
  const shared = join(agent.runtimeDir, 'spiffe.sock')
  const script = `ask "$own"; echo; ask ${shared}; echo; stat -c '%a %n' "$own" "\${own%/*}"`
  const { stdout, stderr } = await sh(script, '--serve', 'dev.web.site.default=8080')
  const [ofOwn = '', ofShared = '', socket = '', directory = ''] = stdout.split('\n')
  assert.deepEqual(idsIn(ofOwn), [ID], stderr)
  // What is for the user stays for the user; that of --as is none of it.
  assert.deepEqual(idsIn(ofShared), ['spiffe://example.org/dev/web/site/default/a'])
  assert.match(socket, /^600 \/.*\/spiffe\.sock$/)
  assert.match(directory, /^700 /)
  assert.ok(!existsSync(socket.slice(4)) && !existsSync(directory.slice(4)))
})

test('the SPIFFE socket of a command gives nothing to other users, to containers, and after its end', async t => {
  if (!needsRoot(t) || !needsCommand(t, 'curl') || !needsCommand(t, 'python3')) return
  const { agent, scope, sh } = await oneAgent(t)
  const as = `setpriv --reuid=${OTHER_UID} --regid=${OTHER_UID} --clear-groups`
  const asOther = `${as} curl -sS --unix-socket "$own" http://localhost/; echo "other $?"`
  const closed = await sh(asOther)
  assert.match(closed.stdout, /^other 7$/m)
  // With the modes changed by its own user, the kernel still says who it is.
  const open = await sh(`chmod 755 "\${own%/*}"; chmod 666 "$own"; ${asOther}`)
  // 7: it is closed before curl has looked whether it is connected.
  assert.match(open.stdout, /^other (7|52|56)$/m)
  assert.match(open.stderr, /PERMISSION_DENIED: a process that is not of the command came to its SPIFFE socket/)
  const contained = await sh(
    'unshare --pid --fork --mount-proc curl -sS --unix-socket "$own" http://localhost/; echo "contained $?"'
  )
  assert.match(contained.stdout, /^contained (7|52|56)$/m)
  assert.match(contained.stderr, /PERMISSION_DENIED/)
  assert.deepEqual(idsIn((await sh('ask "$own"', '--isolated')).stdout), [ID])

  // What the command left behind, out of reach for signals to its group, loses its connection.
  const [said, left] = [join(scope.directory(), 'said'), join(scope.directory(), 'left.py')]
  writeFileSync(
    left,
    `import os, socket, sys
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])
s.sendall(b'POST /SpiffeWorkloadAPI/FetchJWTSVID HTTP/1.1\\r\\nHost: x\\r\\nworkload.spiffe.io: true\\r\\ncontent-type: application/json\\r\\ncontent-length: 18\\r\\n\\r\\n{"audience":["x"]}')
first = s.recv(65536)
open(sys.argv[2], 'w').write('connected\\n')
while s.recv(65536): pass
try: again = socket.socket(socket.AF_UNIX).connect(sys.argv[1])
except OSError as err: again = err.errno
open(sys.argv[2], 'a').write('ended %s\\n' % again)`
  )
  const { code } = await sh(
    `setsid /usr/bin/python3 ${left} "$own" ${said} </dev/null >/dev/null 2>&1 & until [ -s ${said} ]; do sleep 0.05; done`
  )
  assert.equal(code, 0)
  const end = await waitFor(
    () => /ended (\d+)/.exec(readFileSync(said, 'utf8'))?.[1],
    'what was left behind to be cut off'
  )
  assert.match(end ?? '', /^(2|111)$/)
  // The agent knows the identity no more.
  assert.ok(!(await agent.cli('services', '--json')).includes(AS))
})
