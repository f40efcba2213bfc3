import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { Program, scopeOf, waitFor } from '../harness/index.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const LIMIT_MS = 60_000

/** Starts a story with a temporary directory of its own, in which nothing may be left. */
function tell(t: TestContext, file: string): { program: Program; directory: string } {
  const scope = scopeOf(t)
  const directory = scope.directory()
  const env = { TMPDIR: directory, WARREN_RUNTIME_DIR: undefined }
  return { program: new Program(scope, [process.execPath, join(ROOT, file)], { env }), directory }
}

/** Processes whose command line mentions `text`. */
function processesWith(text: string): string[] {
  const commandLine = (pid: string): string => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
    } catch {
      // It has just ended.
      return ''
    }
  }
  return readdirSync('/proc').filter(pid => /^\d+$/.test(pid) && commandLine(pid).includes(text))
}

/** Why mDNS cannot work here, or undefined. */
async function multicastProblem(): Promise<string | undefined> {
  const external = Object.values(networkInterfaces()).flatMap(list => list ?? [])
  if (!external.some(entry => !entry.internal && entry.family === 'IPv4')) return 'no network interface but loopback'
  const socket = createSocket({ type: 'udp4', reuseAddr: true })
  try {
    socket.bind(0)
    await once(socket, 'listening')
    socket.addMembership('224.0.0.251')
    const { port } = socket.address()
    socket.setMulticastLoopback(true)
    socket.send('x', port, '224.0.0.251')
    await once(socket, 'message', { signal: AbortSignal.timeout(2_000) })
    return undefined
  } catch (err) {
    return `multicast does not work here: ${err instanceof Error ? err.message : String(err)}`
  } finally {
    socket.close()
  }
}

test('the demo refuses, allows, converses and cuts, and leaves nothing behind', async t => {
  const { program, directory } = tell(t, 'tools/demo.ts')
  const { code, stdout, stderr } = await program.outcome(LIMIT_MS)
  assert.equal(code, 0, stdout + stderr)
  assert.match(stdout, /b\| warren: UNAUTHORIZED/)
  assert.match(stdout, /a\| hello from b/)
  assert.match(stdout, /b\| hello from a/)
  assert.match(stdout, /It was cut \d+ ms after Enter/)
  assert.match(stdout, /All of it happened, in [\d.]+ s\.\n$/)
  assert.deepEqual(readdirSync(directory), [])
})

test('a demo that is interrupted fails, and leaves neither processes nor files behind', async t => {
  const { program, directory } = tell(t, 'tools/demo.ts')
  await program.says(/serving/, 'stdout', LIMIT_MS)
  program.signal('SIGINT')
  assert.equal((await program.outcome()).code, 1)
  await waitFor(() => processesWith(directory).length === 0, 'the processes of the demo to end')
  assert.deepEqual(readdirSync(directory), [])
})

test('an agent that is given a bootstrap peer finds the mesh', async t => {
  const { program, directory } = tell(t, 'examples/bootstrap/main.ts')
  const { code, stdout, stderr } = await program.outcome(LIMIT_MS)
  assert.equal(code, 0, stdout + stderr)
  assert.match(stdout, /b\| a +connected/)
  assert.deepEqual(readdirSync(directory), [])
})

test('two agents on one LAN find each other by mDNS', async t => {
  const problem = await multicastProblem()
  if (problem !== undefined) {
    t.skip(problem)
    return
  }
  const { program, directory } = tell(t, 'examples/lan/main.ts')
  const { code, stdout, stderr } = await program.outcome(LIMIT_MS)
  assert.equal(code, 0, stdout + stderr)
  assert.match(stdout, /b\| a +connected/)
  assert.deepEqual(readdirSync(directory), [])
})
