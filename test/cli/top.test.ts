import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { FlowView } from '../../src/cli/output/index.ts'
import { frameOf } from '../../src/cli/top/frame.ts'
import type { Look } from '../../src/cli/top/look.ts'
import { picture } from '../../src/cli/top/picture.ts'
import { ErrorCode, WarrenError } from '../../src/core/index.ts'
import { adminPb, create } from '../../src/wire/index.ts'
import { inTerminal, scopeOf, WARREN, warren } from '../harness/index.ts'
import { fakeApi } from './fake-api.ts'

const OPENED = 1_900_000_000_000

function flow(id: string, fields: Partial<Omit<FlowView, 'id'>>): FlowView {
  const { $typeName: _, $unknown: __, ...empty } = create(adminPb.FlowSchema, { id, direction: 'outbound' })
  return { ...empty, openedAtMs: BigInt(OPENED), carrier: 'direct', ...fields, protocol: 'tcp' }
}

function lookAt(seconds: number, flows: readonly FlowView[], metrics: Readonly<Record<string, number>> = {}): Look {
  const host = { machine: 'a', trustDomain: 'example.org', state: 'ready' }
  const atMs = OPENED + 1_000 * seconds
  return { ...host, atMs, monotonicMs: 1_000 * seconds, metrics: new Map(Object.entries(metrics)), flows }
}

const BY_RATE = { by: 'flow', order: 'rate' } as const

test('rates are those between two looks, and of a flow that has begun meanwhile all that it carried', () => {
  const before = lookAt(0, [flow('f1', { bytesIn: 1_000n, bytesOut: 500n })], {
    warren_process_cpu_seconds_total: 1,
    'warren_flow_bytes_total in': 1_000,
    warren_flows_failed_total: 5,
    'warren_flows_failed_total UNAUTHORIZED': 5
  })
  const flows = [flow('f1', { bytesIn: 3_000n, bytesOut: 500n }), flow('f2', { bytesIn: 8_000n })]
  const now = lookAt(2, flows, {
    warren_process_cpu_seconds_total: 1.5,
    'warren_flow_bytes_total in': 11_000,
    warren_flows_failed_total: 15,
    'warren_flows_failed_total UNAUTHORIZED': 9
  })
  const frame = frameOf(before, now, BY_RATE)
  assert.deepEqual([frame.agent.cpuPercent, frame.bytesInPerSecond, frame.intervalMs], [25, 5_000, 2_000])
  assert.deepEqual([frame.refusalsPerSecond, frame.failuresPerSecond], [2, 3])
  assert.deepEqual(
    frame.rows.map(({ id, bytesInPerSecond, bytesOutPerSecond }) => [id, bytesInPerSecond, bytesOutPerSecond]),
    [
      ['f2', 4_000, 0],
      ['f1', 1_000, 0]
    ]
  )
})

test('an agent that has restarted counts from zero, and no rate is negative', () => {
  const before = lookAt(0, [flow('f1', { bytesIn: 9_000n })], { 'warren_flow_bytes_total in': 9_000 })
  const now = lookAt(1, [flow('f1', { bytesIn: 100n })], { 'warren_flow_bytes_total in': 100 })
  const frame = frameOf(before, now, BY_RATE)
  assert.deepEqual([frame.bytesInPerSecond, frame.rows[0]?.bytesInPerSecond], [100, 100])
})

test('flows are added up by source, destination and carrier, and sorted as asked', () => {
  const flows = [
    flow('f1', { source: 'b', destination: 'x', bytesOut: 10n }),
    flow('f2', { source: 'a', destination: 'x', bytesOut: 5n, openedAtMs: 1n }),
    flow('f3', { source: 'a', destination: 'y', bytesOut: 20n, carrier: 'mesh' })
  ]
  const of = (options: Parameters<typeof frameOf>[2]) =>
    frameOf(lookAt(0, []), lookAt(1, flows), options).rows.map(({ source, destination, carrier, flows, bytesOut }) => [
      source ?? destination ?? carrier,
      flows,
      bytesOut
    ])
  assert.deepEqual(of({ by: 'source', order: 'bytes' }), [
    ['a', 2, 25],
    ['b', 1, 10]
  ])
  assert.deepEqual(of({ by: 'destination', order: 'name' }), [
    ['x', 2, 15],
    ['y', 1, 20]
  ])
  assert.deepEqual(of({ by: 'carrier', order: 'age' }), [
    ['direct', 2, 15],
    ['mesh', 1, 20]
  ])
})

test('a picture fits the terminal, with every figure of the host, and says how many flows are left out', () => {
  const flows = Array.from({ length: 50 }, (_, at) =>
    flow(`f${at}`, { source: `dev.shop.cart${at}.default.machine-a` })
  )
  const frame = frameOf(lookAt(0, flows), lookAt(1, flows), BY_RATE)
  for (const [columns, rows] of [
    [40, 24],
    [80, 24],
    [200, 60],
    [30, 10]
  ] as const) {
    const lines = picture(frame, { rows, layout: { columns, wide: false, color: false }, footer: 'q quit' }).split('\n')
    assert.ok(lines.length <= rows, `${lines.length} of ${rows}`)
    for (const line of lines) assert.ok(line.length <= columns, line)
  }
  const text = picture(frame, { rows: 24, layout: { columns: 40, wide: false, color: false } })
  for (const figure of ['cpu', 'lag', 'suspect', 'refused', 'failed']) assert.ok(text.includes(figure), figure)
  assert.match(text, /^… \d+ more$/m)
})

const HOST = { machine: 'a', trustDomain: 'example.org', state: 'ready' }

function served(answers: { isAway?: boolean } = {}) {
  let asked = 0
  return {
    workload: { getStatus: async () => HOST },
    admin: {
      getMetrics: async () => ({ samples: [{ name: 'warren_members', labels: { state: 'suspect' }, value: 7 }] }),
      listFlows: async () => {
        if (answers.isAway === true) throw new WarrenError(ErrorCode.NotReady, 'the agent is starting')
        asked += 1
        const flows = [
          { id: 'f1', source: 'dev.shop.cart.default.a', bytesOut: BigInt(asked * 1_000_000) },
          { id: 'f2', source: 'dev.shop.idle.default.a' }
        ]
        return { flows }
      }
    }
  }
}

test('without a terminal there is one picture and the end; with --json a line for each interval, as many as asked', async t => {
  const { run } = await fakeApi(t, served())
  const once = await run('top', '--interval', '200ms')
  assert.equal(once.code, 0, once.stderr)
  assert.match(once.stdout, /^a of example\.org: ready {3}\S+Z\nagent .*\nmesh .*suspect 7 .*\nflows {2}2 /)
  assert.match(once.stdout, /^dev\.shop\.cart\.default\.a .* \d\.\d MB\/s .*\ndev\.shop\.idle/m)
  const json = await run('top', '--interval', '200ms', '--json', '--count', '2', '--rows', '1')
  const frames = json.stdout.trim().split('\n')
  assert.equal(frames.length, 2)
  for (const line of frames) {
    const { flows, rowsTotal, rows, members } = JSON.parse(line)
    assert.deepEqual([flows, rowsTotal, rows.length, rows[0].id, members.suspect], [2, 2, 1, 'f1', 7])
  }
})

test('in a terminal keys sort, group, pause and quit, and the terminal is given back', async t => {
  const answers = { isAway: false }
  const { runtimeDir } = await fakeApi(t, served(answers))
  const argv = [
    'sh',
    '-c',
    'stty cols 100 rows 20; exec "$0" "$@"',
    process.execPath,
    WARREN,
    'top',
    '--interval',
    '200ms'
  ]
  const env = { WARREN_RUNTIME_DIR: runtimeDir, TERM: 'xterm' }
  const program = inTerminal(scopeOf(t), argv, { env })
  await program.says(/q quit {3}s sort: rate {3}g group: flow {3}space pause/)
  const steps = [
    ['s', /s sort: bytes/],
    ['g', /g group: source/],
    [' ', /space PAUSED/]
  ] as const
  for (const [key, answer] of steps) {
    program.stdin.write(key)
    await program.says(answer)
  }
  answers.isAway = true
  await program.says(/NO ANSWER: NOT_READY: the agent is starting/)
  answers.isAway = false
  const isBack = /NO ANSWER[\s\S]*s sort: bytes {3}g group: source/
  await program.says(isBack)
  program.stdin.write('q')
  const { code, stdout } = await program.outcome()
  assert.equal(code, 0)
  assert.ok(stdout.includes('\u001b[?1049h') && stdout.endsWith('\u001b[?25h\u001b[?1049l'))
})

test('a live screen that a signal ends gives the terminal back, too', async t => {
  const { runtimeDir } = await fakeApi(t, served())
  const command = `"${process.execPath}" "${WARREN}" top & pid=$!; read -r line; kill "$pid"; wait "$pid"; echo "code $?"`
  const program = inTerminal(scopeOf(t), ['bash', '-c', command], {
    env: { WARREN_RUNTIME_DIR: runtimeDir, TERM: 'xterm' }
  })
  await program.says(/flows {2}2/)
  program.stdin.write('\n')
  await program.says(/\[\?25h.*\[\?1049l[\s\S]*code 0/)
})

test('top needs an agent at first', async t => {
  const { code, stderr } = await warren(scopeOf(t), ['top'], {}, '/nonexistent').outcome()
  assert.equal(code, 1)
  assert.match(stderr, /AGENT_NOT_RUNNING/)
})
