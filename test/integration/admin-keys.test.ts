import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { localCall, needsCommand, type Scope, scopeOf, startPair, type TestAgent, waitFor } from '../harness/index.ts'
import { adminsOn, inForce } from './support/admins.ts'

/** An ssh-agent with one Ed25519 key, which the commands of this test find. */
async function sshAgent(scope: Scope): Promise<{ readonly env: NodeJS.ProcessEnv; readonly file: string }> {
  const directory = scope.directory()
  const socket = join(directory, 'agent.sock')
  // It refuses whatever a person would have to confirm.
  const agent = spawn('ssh-agent', ['-D', '-a', socket], {
    stdio: 'ignore',
    env: { PATH: process.env['PATH'], SSH_ASKPASS: '/bin/false' }
  })
  scope.defer(() => void agent.kill())
  await waitFor(async () => existsSync(socket), 'ssh-agent to listen')
  const file = join(directory, 'key')
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'bob@laptop', '-f', file])
  const env = { ...process.env, SSH_AUTH_SOCK: socket }
  execFileSync('ssh-add', ['-q', file], { env, stdio: 'ignore' })
  process.env['SSH_AUTH_SOCK'] = socket
  return { env, file }
}

async function makeOwner(owner: TestAgent, agent: TestAgent, name: string, uri: string): Promise<void> {
  const key = (await agent.cli('admin', 'key', '--use', uri)).trim()
  await owner.cli('admin', 'add', name, '--role', 'owner', '--key', key)
  await waitFor(
    async () => (await adminsOn(agent)).some(admin => admin.name === name && admin.here === true),
    `${agent.name} to be ${name}`
  )
}

test('an admin whose key is in ssh-agent changes the policy and asks all hosts, and the host without that person does not', async t => {
  if (!needsCommand(t, 'ssh-agent') || !needsCommand(t, 'ssh-add')) return
  const scope = scopeOf(t)
  const [a, b] = await startPair(scope)
  const { env, file } = await sshAgent(scope)
  await makeOwner(a, b, 'bob', 'ssh-agent:bob@laptop')
  const kept = readFileSync(join(b.stateDir, 'admin.own.key'), 'utf8')
  assert.doesNotMatch(kept, /PRIVATE/)
  assert.match(kept, /"uri":"ssh-agent:SHA256:/)

  const denied = await b.attempt(['deny', 'dev.guest.*.*', 'dev.db.*.*', '--reason', 'found in logs', '--wait'])
  assert.equal(denied.code, 0, denied.stderr)
  // The person sees what is signed, in the words of the command and not of the agent.
  assert.match(denied.stderr, /signing with ssh-agent:SHA256:\S+\n.*version 1 of what you state in example\.org/)
  assert.match(denied.stderr, /\+ rule r1: deny dev\.guest\.\*\.\* -> dev\.db\.\*\.\*; reason: "found in logs"/)
  assert.match(denied.stderr, /2 hosts applied it/)
  await inForce([a, b], 'bob/r1')
  const observed = await b.attempt(['flows', '--mesh'])
  assert.equal(observed.code, 0, observed.stderr)
  assert.match(observed.stderr, /the question to all hosts what they see \(flows\)/)

  // Whoever calls without the key gets no signature, also as root.
  const { status, body } = await localCall(b.adminSocket, 'AdminService/RemoveRule', { id: 'bob/r1' })
  assert.notEqual(status, 200)
  assert.match(JSON.stringify(body), /SIGNER_NEEDED/)
  execFileSync('ssh-add', ['-q', '-D'], { env, stdio: 'ignore' })
  const absent = await b.attempt(['policy', 'remove', 'bob/r1'])
  assert.equal(absent.code, 1)
  assert.match(absent.stderr, /NOT_FOUND: ssh-agent has no Ed25519 key SHA256:/)
  // A key that must be confirmed, and is not.
  execFileSync('ssh-add', ['-q', '-c', file], { env, stdio: 'ignore' })
  const refused = await b.attempt(['policy', 'remove', 'bob/r1'])
  assert.equal(refused.code, 1)
  assert.match(refused.stderr, /PERMISSION_DENIED: ssh-agent does not sign with this key/)
  await inForce([a, b], 'bob/r1')

  // The host knows after a restart whose key it has not.
  execFileSync('ssh-add', ['-q', '-D'], { env, stdio: 'ignore' })
  execFileSync('ssh-add', ['-q', file], { env, stdio: 'ignore' })
  await b.stop()
  await b.start([])
  await b.sees(1)
  await b.cli('policy', 'remove', 'bob/r1')
  await inForce([a, b], '')
  // It would lose what it has stated.
  assert.match(
    (await b.attempt(['admin', 'key', '--new'])).stderr,
    /INVALID_ARGUMENT: the key of this host is that of bob/
  )
  assert.match(
    (await a.attempt(['admin', 'key', '--use', 'ssh-agent:'])).stderr,
    /INVALID_ARGUMENT: this host has the key of the founder/
  )

  // The same with a key in a file of the person; the host keeps its path only.
  await a.cli('admin', 'remove', 'bob')
  await waitFor(async () => (await adminsOn(b)).some(({ removedBy }) => removedBy === 'founder'), 'bob to be removed')
  const pem = join(scope.directory(), 'carol.pem')
  execFileSync('openssl', ['genpkey', '-algorithm', 'ed25519', '-out', pem])
  execFileSync('chmod', ['644', pem])
  assert.match((await b.attempt(['admin', 'key', '--use', `file:${pem}`])).stderr, /other users may read it/)
  execFileSync('chmod', ['600', pem])
  await makeOwner(a, b, 'carol', `file:${pem}`)
  await b.cli('allow', 'dev.a.*.*', 'dev.b.*.*')
  await inForce([a, b], 'carol/r1')
  const other = execFileSync('openssl', ['genpkey', '-algorithm', 'ed25519']).toString()
  writeFileSync(pem, other, { mode: 0o600 })
  const swapped = await b.attempt(['policy', 'remove', 'carol/r1'])
  assert.match(swapped.stderr, /it is not the key of the admin of this host/)
})
