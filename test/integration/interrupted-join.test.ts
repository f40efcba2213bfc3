import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer } from 'node:net'
import { join } from 'node:path'
import test from 'node:test'
import { encodeJoinToken, parseJoinToken } from '../../src/identity/index.ts'
import { type Scope, scopeOf, TestAgent, waitFor, warren } from '../harness/index.ts'

/** The answers of the other end come so late that the test can end the joiner before the one that admits it. */
const LATE_MS = 700

/** Makes a token whose authority answers late. */
async function tokenOfLate(scope: Scope, authority: TestAgent, machine: string): Promise<string> {
  const token = parseJoinToken((await authority.cli('token', 'create', machine)).trim(), Date.now())
  const [, port] = token.authorityAddresses[0]?.split(':') ?? []
  const between = createServer(near => {
    const far = connect({ host: '127.0.0.1', port: Number(port) })
    near.on('error', () => far.destroy()).on('close', () => far.destroy())
    far.on('error', () => near.destroy())
    near.pipe(far)
    far.on('data', bytes => setTimeout(() => near.destroyed || near.write(bytes), LATE_MS))
  })
  scope.defer(() => between.close())
  await once(between.listen(0, '127.0.0.1'), 'listening')
  const late = between.address() as AddressInfo
  return encodeJoinToken({ ...token, authorityAddresses: [`127.0.0.1:${late.port}`] })
}

/** Starts `warren up --join`, kills it when `reached`, and starts it again with the same token. */
async function interrupt(scope: Scope, token: string, reached: (stateDir: string) => boolean): Promise<TestAgent> {
  const agent = new TestAgent(scope, { name: parseJoinToken(token, Date.now()).machine, args: ['--join', token] })
  const places = ['--listen', '127.0.0.1:0', '--data-listen', '127.0.0.1:0', '--no-mdns']
  const directories = ['--state-dir', agent.stateDir, '--runtime-dir', agent.runtimeDir]
  const first = warren(scope, ['up', '--join', token, ...directories, ...places])
  await waitFor(() => reached(agent.stateDir), 'the join to have come so far')
  await first.kill()
  assert.equal(existsSync(join(agent.stateDir, 'node.pem')), false)
  return await agent.start()
}

test('a join that is killed after the authority has spent the token is repeated with it', async t => {
  const scope = scopeOf(t)
  const a = new TestAgent(scope, { name: 'a', args: ['--init', 'example.org'] })
  await a.start()
  const admitted = (): boolean => /host admitted/.test(a.program.stderr)
  const b = await interrupt(scope, await tokenOfLate(scope, a, 'b'), admitted)
  await b.sees(1)
  // The note of the token has gone with the join.
  assert.equal(existsSync(join(b.stateDir, 'join.attempt')), false)
})

test('a join that is killed before it has asked is repeated, with other keys for another token', async t => {
  const scope = scopeOf(t)
  const a = new TestAgent(scope, { name: 'a', args: ['--init', 'example.org'] })
  await a.start()
  const hasKeys = (stateDir: string): boolean => existsSync(join(stateDir, 'join.attempt'))
  const b = await interrupt(scope, await tokenOfLate(scope, a, 'b'), hasKeys)
  await b.sees(1)

  const c = new TestAgent(scope, { name: 'c', args: [] })
  const abandoned = await tokenOfLate(scope, a, 'c')
  const directories = ['--state-dir', c.stateDir, '--runtime-dir', c.runtimeDir]
  const first = warren(scope, ['up', '--join', abandoned, ...directories])
  await waitFor(() => hasKeys(c.stateDir), 'the keys to be on disk')
  const key = readFileSync(join(c.stateDir, 'peer.key'))
  await first.kill()
  await c.start(['--join', (await a.cli('token', 'create', 'c')).trim()])
  assert.notDeepEqual(readFileSync(join(c.stateDir, 'peer.key')), key)
})
