import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, copyFileSync, readFileSync, realpathSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { accountOf, HOST_VIEW, type ProcessView, processReader, sameUser, unknownView } from '../../src/attest/index.ts'
import { platform } from '../../src/attest/select.ts'
import { asRoot, temporaryDirectory, waitFor } from '../harness/index.ts'

const skip = process.platform !== 'linux' && 'is about namespaces of Linux'
const uid = process.getuid?.() ?? 0
const OTHER = 61_260

/** A process that runs `argv` until the test ends. It has begun once it says so. */
async function running(t: TestContext, ...argv: readonly string[]): Promise<number> {
  // Node would not do: a process whose children are to be in another pid namespace has no more threads.
  const [command = '', ...args] = [...argv, '/bin/sh', '-c', 'echo begun; exec sleep 600']
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => child.kill('SIGKILL'))
  await once(child.stdout, 'data')
  return child.pid ?? 0
}

const viewOf = (pid: number): ProcessView => processReader().viewOf(pid)

test('a process that was started here is of the host, and sees what we see', { skip }, async t => {
  const view = viewOf(await running(t))
  assert.deepEqual([view.isOfHost, view.sharesPids, view.whyNot], [true, true, ''])
  assert.ok(sameUser({ uid, view }, { uid, view: viewOf(process.pid) }))
  assert.ok(!sameUser({ uid, view }, { uid: uid + 1, view }))
})

test('neither a mount nor a network namespace makes another view, and a user namespace does', asRoot, async t => {
  const own = viewOf(process.pid)
  assert.deepEqual(viewOf(await running(t, 'unshare', '--mount')), own)
  // The pid namespace that this one makes is for its children.
  assert.deepEqual(viewOf(await running(t, 'unshare', '--pid')), own)
  assert.deepEqual(viewOf(await running(t, 'unshare', '--net')), own)
  const user = viewOf(await running(t, 'unshare', '--user'))
  assert.deepEqual([user.isOfHost, user.sharesPids], [false, false])
  const other = viewOf(await running(t, 'unshare', '--user'))
  assert.ok(!sameUser({ uid, view: user }, { uid, view: other }))
  assert.ok(!sameUser({ uid, view: user }, { uid, view: own }))
  assert.match(user.whyNot, /user namespace/)
})

test(
  'two containers over one root directory are two views, and who enters one of them is of its view',
  asRoot,
  async t => {
    const nested = ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc'] as const
    const [one = '0'] = await children(await running(t, ...nested))
    const [other = '0'] = await children(await running(t, ...nested))
    const [entered = '0'] = await children(await running(t, 'nsenter', '--pid', '--mount', '--target', one))
    const [first, second, within] = [one, other, entered].map(pid => viewOf(Number(pid)))
    assert.ok(first !== undefined && second !== undefined && within !== undefined)
    assert.deepEqual([first.isOfHost, first.sharesPids, second.isOfHost], [false, false, false])
    assert.ok(!sameUser({ uid, view: first }, { uid, view: second }))
    assert.ok(sameUser({ uid, view: first }, { uid, view: within }))
  }
)

test('the group of a setgid program is not that of the process which runs it', asRoot, async t => {
  const directory = temporaryDirectory('wt-setgid-')
  t.after(() => rmSync(directory, { recursive: true }))
  chmodSync(directory, 0o755)
  const program = join(directory, 'sleep')
  copyFileSync(realpathSync('/bin/sleep'), program)
  chownSync(program, 0, OTHER)
  chmodSync(program, 0o2755)
  const script = `echo begun; exec ${program} 600`
  const child = spawn(
    'setpriv',
    ['--reuid', '61261', '--regid', '61261', '--groups', '61262', '/bin/sh', '-c', script],
    {
      stdio: ['ignore', 'pipe', 'inherit']
    }
  )
  t.after(() => child.kill('SIGKILL'))
  await once(child.stdout, 'data')
  const status = () => readFileSync(`/proc/${child.pid}/status`, 'latin1')
  await waitFor(() => status().includes(`Gid:\t61261\t${OTHER}\t`), 'the setgid program to run')
  assert.deepEqual(processReader().groupIdsOf(child.pid ?? 0), [61_262])
})

test('what could not be read is equal to nothing, itself included', () => {
  const gone = viewOf(2 ** 22 + 1)
  assert.deepEqual([gone.isOfHost, gone.sharesPids, gone.key], [false, false, undefined])
  for (const view of [gone, unknownView('is hidden')]) assert.ok(!sameUser({ uid, view }, { uid, view }))
})

test('all views but that of the host share one account for each uid', () => {
  const [one, other] = ['2 1:2', '2 3:4'].map(key => ({ ...unknownView('is in a container'), key }) as const)
  assert.ok(one !== undefined && other !== undefined)
  assert.equal(accountOf({ uid: 7, view: one }), accountOf({ uid: 7, view: other }))
  assert.notEqual(accountOf({ uid: 7, view: one }), accountOf({ uid: 7, view: HOST_VIEW }))
  assert.notEqual(accountOf({ uid: 7, view: one }), accountOf({ uid: 8, view: one }))
})

// Linux before 5.14 does not know SO_NETNS_COOKIE; a descriptor that is no socket has none either.
test(
  'a kernel without network cookies is asked for the namespace of the process, and for nobody says no',
  asRoot,
  async t => {
    const { sharesNetwork } = platform()
    assert.equal(sharesNetwork(-1, process.pid), true)
    assert.equal(sharesNetwork(-1, await running(t, 'unshare', '--net')), false)
    assert.equal(sharesNetwork(-1, 2 ** 22 + 1), false)
  }
)

test(
  'without the right to trace it a process is not of the host, and is told from a container by its pids alone',
  asRoot,
  async t => {
    const pid = await running(t)
    const nested = await running(t, 'unshare', '--pid', '--fork', '--kill-child', '--mount-proc')
    const [child = '0'] = await children(nested)
    const attest = new URL('../../src/attest/index.ts', import.meta.url).href
    const script = `
    const { processReader } = await import('${attest}')
    console.log(JSON.stringify([${pid}, ${child}].map(pid => processReader().viewOf(pid))))`
    const as = ['setpriv', `--reuid=${OTHER}`, `--regid=${OTHER}`, '--clear-groups', '--inh-caps=+dac_override']
    const kept = ['--ambient-caps=+dac_override', '--bounding-set=-all,+dac_override', '--']
    const [command = '', ...args] = [...as, ...kept, process.execPath, '--input-type=module', '-e', script]
    const looking = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    let text = ''
    looking.stdout.on('data', chunk => {
      text += chunk
    })
    await once(looking, 'close')
    const [here, inside] = JSON.parse(text) as [ProcessView, ProcessView]
    assert.deepEqual([here.isOfHost, here.sharesPids, inside.isOfHost, inside.sharesPids], [false, true, false, false])
    assert.match(here.whyNot, /CAP_SYS_PTRACE/)
    assert.ok(sameUser({ uid, view: here }, { uid, view: here }))
    assert.ok(!sameUser({ uid, view: here }, { uid, view: inside }))
  }
)

async function children(pid: number): Promise<string[]> {
  const { readFile } = await import('node:fs/promises')
  return (await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')).trim().split(' ')
}
