import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { closeSync, constants, existsSync, openSync, readSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import test from 'node:test'
import { localCall, needsCommand, Program, type Scope, scopeOf, WARREN, waitFor } from '../harness/index.ts'

/** Pairs of a registration and its end whose lines fill a pipe, a socket or a terminal. */
const FULL = 400
/** And those whose lines exceed the limit `log_backlog` as well. */
const TOO_MANY = 1_500

function upOptions(directory: string): string[] {
  const places = ['--state-dir', join(directory, 's'), '--runtime-dir', join(directory, 'r')]
  const loopback = ['--listen', '127.0.0.1:0', '--data-listen', '127.0.0.1:0', '--advertise', '127.0.0.1', '--no-mdns']
  return ['up', '--init', 'example.org', '--name', 'solo', '--log-level', 'debug', ...places, ...loopback]
}

async function isReady(socket: string): Promise<boolean> {
  if (!existsSync(socket)) return false
  const { body } = await localCall(socket, 'WorkloadService/GetStatus')
  return (body as { state?: string }).state === 'ready'
}

/** Causes log lines. Every call is answered, or the test gets no further. */
async function log(socket: string, pairs: number): Promise<void> {
  for (let count = 0; count < pairs; count += 1) {
    const input = { address: 'dev.web.site.default', target: { tcp: '127.0.0.1:9' } }
    const { body } = await localCall(socket, 'WorkloadService/Register', input)
    const { token } = body as { token: string }
    assert.equal((await localCall(socket, 'WorkloadService/Deregister', { token })).status, 200)
  }
  assert.ok(await isReady(socket))
}

async function dropped(socket: string): Promise<number> {
  const admin = join(socket, '..', 'admin.sock')
  const { body } = await localCall(admin, 'AdminService/GetMetrics')
  const { samples } = body as { samples: { name: string; value?: number }[] }
  return samples.find(({ name }) => name === 'warren_log_lines_dropped_total')?.value ?? 0
}

/** A pipe with a name that can be filled: somebody has it open, and reads when told to. */
function pipeOf(scope: Scope, path: string): () => string {
  execFileSync('mkfifo', [path])
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  scope.defer(() => closeSync(fd))
  const chunk = Buffer.alloc(64 * 1024)
  let text = ''
  return () => {
    try {
      for (let length = 1; length > 0; ) {
        length = readSync(fd, chunk)
        text += chunk.toString('latin1', 0, length)
      }
    } catch (err) {
      if ((err as NodeJS.ErrnoException).code !== 'EAGAIN') throw err
    }
    return text
  }
}

test('an agent whose log nobody reads answers and ends as ever; what it dropped is counted, and said once the log is read', async t => {
  const scope = scopeOf(t)
  const directory = scope.directory()
  const path = join(directory, 'log')
  const read = pipeOf(scope, path)
  const argv = ['sh', '-c', `exec "$@" 2>${path}`, 'sh', WARREN, ...upOptions(directory)]
  const agent = new Program(scope, argv)
  const socket = join(directory, 'r', 'agent.sock')
  await waitFor(() => isReady(socket), 'the agent')
  await log(socket, TOO_MANY)
  const count = await dropped(socket)
  assert.ok(count > 0)

  await waitFor(() => /"msg":"log lines dropped"/.test(read()), 'the number of dropped lines')
  const lines = read()
    .split('\n')
    .filter(line => line.startsWith('{'))
    .map(line => JSON.parse(line) as { msg: string })
  const said = lines.filter(({ msg }) => msg === 'log lines dropped') as { msg: string; dropped?: number }[]
  assert.equal(said.length, 1)
  assert.ok((said[0]?.dropped ?? 0) >= count)
  t.diagnostic(`${lines.length} lines written, ${said[0]?.dropped} dropped`)

  await log(socket, FULL)
  assert.equal((await agent.stop()).code, 0)
})

test('an agent that ends while its log is read loses no line of it', async t => {
  const scope = scopeOf(t)
  const directory = scope.directory()
  const path = join(directory, 'log')
  const read = pipeOf(scope, path)
  const agent = new Program(scope, ['sh', '-c', `exec "$@" 2>${path}`, 'sh', WARREN, ...upOptions(directory)])
  const socket = join(directory, 'r', 'agent.sock')
  await waitFor(() => isReady(socket), 'the agent')
  await log(socket, FULL)
  agent.signal('SIGTERM')
  await waitFor(() => read() !== '' && agent.hasEnded, 'the agent to end while it is read')
  const text = read()
  assert.equal(text.match(/"msg":"workload registered"/g)?.length, FULL)
  assert.equal(text.match(/"msg":"workload deregistered"/g)?.length, FULL)
  assert.ok(text.endsWith('\n'))
})

test('an agent whose log is a socket that nobody reads, as of the journal, answers and ends as ever', async t => {
  if (!needsCommand(t, 'python3')) return
  const scope = scopeOf(t)
  const directory = scope.directory()
  const path = join(directory, 'journal')
  let reader: Socket | undefined
  const server = createServer({ pauseOnConnect: true }, socket => (reader = socket)).listen(path)
  scope.defer(() => server.close())
  scope.defer(() => reader?.destroy())
  const connected =
    'import os, socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); os.dup2(s.fileno(), 2); os.execv(sys.argv[2], sys.argv[2:])'
  const agent = new Program(scope, ['python3', '-c', connected, path, WARREN, ...upOptions(directory)])
  const socket = join(directory, 'r', 'agent.sock')
  await waitFor(() => isReady(socket), 'the agent')
  await log(socket, FULL)
  let text = ''
  reader?.on('data', (chunk: Buffer) => {
    text += chunk.toString()
  })
  reader?.resume()
  await waitFor(() => text.match(/"msg":"workload deregistered"/g)?.length === FULL, 'all that was kept')
  reader?.pause()
  await log(socket, FULL)
  assert.equal((await agent.stop()).code, 0)
})

// Opens a terminal, runs the rest of its arguments in it, and never reads what they write there.
const UNREAD_TERMINAL = `
import os, pty, sys
pid, fd = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
print(pid, flush=True)
_, status = os.waitpid(pid, 0)
sys.exit(os.waitstatus_to_exitcode(status))
`

test('an agent in a terminal that is stopped answers and ends as ever', async t => {
  if (!needsCommand(t, 'python3')) return
  const scope = scopeOf(t)
  const directory = scope.directory()
  const terminal = new Program(scope, ['python3', '-c', UNREAD_TERMINAL, WARREN, ...upOptions(directory)])
  const [, pid = ''] = await terminal.says(/(\d+)/)
  scope.defer(() => terminal.hasEnded || process.kill(Number(pid), 'SIGKILL'))
  const socket = join(directory, 'r', 'agent.sock')
  await waitFor(() => isReady(socket), 'the agent')
  await log(socket, FULL)
  process.kill(Number(pid), 'SIGTERM')
  assert.equal((await terminal.outcome()).code, 0)
})
