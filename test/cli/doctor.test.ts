import assert from 'node:assert/strict'
import test from 'node:test'
import { type Facts, findingsOf, type Verdict } from '../../src/cli/doctor/index.ts'

type Status = Exclude<Facts['status'], { readonly cure: string }>
type Members = Exclude<Facts['members'], { readonly cure: string }>

const STATUS: Status = {
  version: '1.2.3',
  state: 'ready',
  evicted: '',
  expired: '',
  members: 2,
  connected: 1,
  policyVersion: 3n,
  policyLost: false,
  policyLeaseMs: 0n,
  policyUnheardMs: 0n,
  policyWithheld: false,
  identityInUse: false,
  duplicateHosts: [],
  clockBehindMs: 0n,
  clockDifferences: [],
  descriptorAlarm: '',
  reloadProblem: '',
  waitingItems: [],
  unannounced: '',
  meshAddresses: [],
  dataAddresses: ['192.0.2.1:7461'],
  leftOutCount: 0,
  certificates: [{ kind: 'node', subject: 'a', notAfterMs: 1n, alarm: '', problem: '' }],
  sessionAlarms: []
}
const MEMBERS = [
  { machine: 'a', state: 'self' },
  { machine: 'b', state: 'connected' }
] as unknown as Members
const DISK = { mode: 0o700, uid: 1_000, availableBytes: 1e9, totalBytes: 1e10, freeFiles: 1e6, totalFiles: 1e6 }

const HEALTHY: Facts = {
  cliVersion: '1.2.3',
  nodeVersion: '26.0.0',
  kernel: '6.1.0-49-amd64',
  uid: 1_000,
  nowMs: 0,
  status: STATUS,
  members: MEMBERS,
  samples: [
    { name: 'warren_limit_hits_total', labels: { limit: 'proxy_flows' }, value: 0 },
    { name: 'warren_process_open_fds', labels: {}, value: 40 },
    { name: 'warren_process_max_fds', labels: {}, value: 65_536 }
  ],
  directories: [
    { what: 'state', path: '/s', found: DISK },
    { what: 'runtime', path: '/r', found: { ...DISK, mode: 0o755 } }
  ],
  dials: [{ address: '192.0.2.1:7461' }],
  receiveBufferBytes: 4_194_304,
  names: []
}

const made = (how: 'punched' | 'reverse', role: string, result: string, value: number) => ({
  name: `warren_${how}_connections_total`,
  labels: { role, result },
  value
})
const certificate = (alarm: string) => [
  { kind: 'node', subject: 'a', notAfterMs: 1n, alarm, problem: 'nobody answers' }
]
const status = (change: Partial<Status>): Partial<Facts> => ({ status: { ...STATUS, ...change } })
const state = (change: Partial<typeof DISK>): Partial<Facts> => ({
  directories: [{ what: 'state', path: '/s', found: { ...DISK, ...change } }]
})

/** Each fault alone, on a host that is healthy otherwise. */
const FAULTS: ReadonlyArray<readonly [what: string, fault: Partial<Facts>, check: string, Verdict, text: RegExp]> = [
  ['no agent', { status: { problem: 'AGENT_NOT_RUNNING: none', cure: 'Start it.' } }, 'agent', 'fail', /NOT_RUNNING/],
  ['evicted', status({ state: 'evicted', evicted: 'lost laptop' }), 'agent', 'fail', /evicted: lost laptop/],
  ['expired', status({ state: 'expired', expired: 'since 3 d' }), 'agent', 'fail', /no valid certificate: since 3 d/],
  ['draining', status({ state: 'draining' }), 'agent', 'warn', /drains/],
  ['another version', status({ version: '1.1.0' }), 'version', 'warn', /1\.1\.0.*1\.2\.3/],
  ['no rule', status({ policyVersion: 0n }), 'policy', 'warn', /nothing is allowed/],
  [
    'policy that is not confirmed',
    status({ policyLeaseMs: 10_000n, policyWithheld: true }),
    'policy lease',
    'fail',
    /serves nothing/
  ],
  ['lost policy', status({ policyLost: true }), 'policy', 'fail', /lost/],
  ['a clone', status({ identityInUse: true }), 'identity', 'fail', /this host/],
  ['a clone of another', status({ duplicateHosts: ['c'] }), 'identity', 'fail', /identity of c/],
  ['clock set back', status({ clockBehindMs: 300_000n }), 'clock', 'fail', /300 s behind/],
  ['another clock', status({ clockDifferences: [{ machine: 'b', aheadMs: -60_000n }] }), 'clock', 'fail', /b by -60 s/],
  ['a refused reload', status({ reloadProblem: 'w.yaml:3:1' }), 'configuration', 'warn', /w\.yaml:3:1/],
  [
    'an item that waits',
    status({ waitingItems: [{ name: 'dev.a.b.c', place: 'w.yaml:2', problem: 'no entry' }] }),
    'declared',
    'warn',
    /dev\.a\.b\.c \(w\.yaml:2\): no entry/
  ],
  ['an alarm of descriptors', status({ descriptorAlarm: 'almost none' }), 'descriptors', 'fail', /almost none/],
  ['a late certificate', status({ certificates: certificate('half') }), 'certificates', 'warn', /nobody answers/],
  ['an ended certificate', status({ certificates: certificate('ended') }), 'certificates', 'fail', /1 have ended/],
  ['not announced', status({ unannounced: 'too large' }), 'announcement', 'fail', /too large/],
  ['unproved', status({ sessionAlarms: [{ machine: 'b', problem: 'old' }] }), 'sessions', 'warn', /1 sessions.*with b/],
  ['nobody connected', status({ connected: 0 }), 'members', 'fail', /none of 1/],
  [
    'a suspect',
    { members: [...MEMBERS, { machine: 'c', state: 'suspect' }] as unknown as Members },
    'members',
    'warn',
    /1 of 2 do not answer: c/
  ],
  ['another user', { members: { problem: 'PERMISSION_DENIED', cure: 'As root.' } }, 'members', 'unknown', /DENIED/],
  [
    'a limit',
    { samples: [{ name: 'warren_limit_hits_total', labels: { limit: 'proxy_flows' }, value: 7 }] },
    'limits',
    'warn',
    /proxy_flows \(7\)/
  ],
  [
    'few descriptors',
    { samples: [{ name: 'warren_process_max_fds', labels: {}, value: 1_024 }] },
    'descriptors',
    'warn',
    /1024/
  ],
  [
    'no descriptors',
    {
      samples: [
        { name: 'warren_process_open_fds', labels: {}, value: 60_000 },
        { name: 'warren_process_max_fds', labels: {}, value: 65_536 }
      ]
    },
    'descriptors',
    'fail',
    /60000 of 65536/
  ],
  [
    'a NAT that cannot be passed',
    { samples: [made('punched', 'invited', 'failed', 4)] },
    'reach',
    'warn',
    /none of 4 .* relays or the mesh may carry/
  ],
  [
    'a host that nobody dials, and that dials nobody',
    { samples: [made('reverse', 'dialler', 'failed', 3)] },
    'reach',
    'warn',
    /asked to dial back 3 times, and never could/
  ],
  ['only loopback', status({ dataAddresses: ['127.0.0.1:7461'] }), 'addresses', 'fail', /only loopback/],
  ['alone', status({ dataAddresses: ['127.0.0.1:7461'], members: 1 }), 'addresses', 'warn', /only loopback/],
  ['left out', status({ leftOutCount: 3 }), 'addresses', 'warn', /3 addresses/],
  ['a closed port', { dials: [{ address: '192.0.2.1:7461', problem: 'ETIMEDOUT' }] }, 'ports', 'warn', /ETIMEDOUT/],
  ['a broken name', { names: [{ name: 'a.test', problem: 'ENOTFOUND' }] }, 'names', 'fail', /a\.test.*ENOTFOUND/],
  ['an open state directory', state({ mode: 0o755 }), 'state-directory', 'fail', /mode 755/],
  ['a full disk', state({ availableBytes: 1e6 }), 'disk', 'fail', /1\.0 MB/],
  ['a small disk', state({ availableBytes: 1e8 }), 'disk', 'warn', /100\.0 MB/],
  ['no inodes', state({ freeFiles: 3 }), 'disk', 'fail', /only 3 more files/],
  ['a small buffer', { receiveBufferBytes: 212_992 }, 'udp-buffer', 'warn', /213\.0 kB/],
  ['an old kernel', { kernel: '4.19.0' }, 'kernel', 'fail', /4\.19/]
]

test('of a healthy host the doctor finds nothing', () => {
  assert.deepEqual(
    findingsOf(HEALTHY).filter(({ verdict }) => verdict !== 'ok'),
    []
  )
})

test('the doctor says by which ways others have reached a host that they cannot dial', () => {
  const samples = [
    made('reverse', 'dialler', 'ok', 2),
    made('punched', 'invited', 'ok', 1),
    made('punched', 'invited', 'failed', 1)
  ]
  const found = findingsOf({ ...HEALTHY, samples: [...(HEALTHY.samples as typeof samples), ...samples] })
  const reach = found.find(({ check }) => check === 'reach')
  assert.equal(reach?.verdict, 'ok')
  assert.match(reach?.text ?? '', /reverse .*2 times.*punched \(1 times/)
})

test('the doctor warns of no way that failed where another one worked', () => {
  const [punched, dialled] = [made('punched', 'invited', 'failed', 4), made('reverse', 'dialler', 'ok', 2)]
  const [failedBack, passed] = [made('reverse', 'dialler', 'failed', 3), made('punched', 'invited', 'ok', 1)]
  for (const [samples, text] of [
    [[punched, dialled], /^reverse .*2 times/],
    [[failedBack, passed], /^punched \(1 times/]
  ] as const) {
    const [reach] = findingsOf({ ...HEALTHY, samples }).filter(({ check }) => check === 'reach')
    assert.equal(reach?.verdict, 'ok')
    assert.match(reach?.text ?? '', text)
  }
})

for (const [what, fault, check, verdict, text] of FAULTS) {
  test(`the doctor finds one fault, says it in one line and what to do: ${what}`, () => {
    const found = findingsOf({ ...HEALTHY, ...fault }).filter(one => one.verdict !== 'ok' && one.check === check)
    assert.equal(found.length, 1, JSON.stringify(found))
    assert.equal(found[0]?.verdict, verdict)
    assert.match(found[0]?.text ?? '', text)
    assert.notEqual(found[0]?.cure, '')
    assert.doesNotMatch(found[0]?.text ?? '', /\n/)
  })
}
