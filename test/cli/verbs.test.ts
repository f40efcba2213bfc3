import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { ErrorCode, WarrenError } from '../../src/core/index.ts'
import type { adminPb, apiPb } from '../../src/wire/index.ts'
import { Program, scopeOf, WARREN, warren } from '../harness/index.ts'
import { fakeApi } from './fake-api.ts'

const SERVICE = {
  address: 'dev.web.nginx.default.m1',
  spiffeId: 'spiffe://example.org/dev/web/nginx/default/m1',
  registrationId: 'ab'.repeat(32),
  protocols: [1],
  health: 'passing',
  labels: { version: '2' },
  registeredAtMs: 1_900_000_000_000n,
  machine: 'm1',
  local: false,
  suspect: true,
  suspectSinceMs: 0n,
  problem: ''
}
const FAILING = { ...SERVICE, suspect: false, local: true, health: 'failing', problem: 'uid 8 has 127.0.0.1:80/tcp' }
const RULE = { id: 'r7', effect: 'allow', source: 'dev.*.*.*', destination: 'dev.web.*.*', protocols: [1] }

test('services are a table for people and one document for programs', async t => {
  const patterns: string[] = []
  const { run } = await fakeApi(t, {
    workload: {
      listServices: async ({ pattern }) => {
        patterns.push(pattern)
        if (pattern === 'none.*.*.*') return { services: [] }
        return { services: [pattern === 'bad.*.*.*' ? FAILING : SERVICE] }
      }
    }
  })
  const human = await run('services')
  assert.equal(human.code, 0)
  const [title, row] = human.stdout.split('\n')
  assert.match(title ?? '', /^ADDRESS +SERVES +HEALTH +WHERE +AGE +ID$/)
  assert.match(row ?? '', /^dev\.web\.nginx\.default\.m1 +tcp +passing, host suspect +m1 +\S+.* abababababab$/)
  assert.equal(human.stderr, '')

  const json = await run('services', 'dev.web.*.*', '--json')
  assert.deepEqual(JSON.parse(json.stdout), {
    services: [
      {
        ...SERVICE,
        protocols: ['tcp'],
        registeredAtMs: 1_900_000_000_000,
        suspectSinceMs: 0,
        tier: '',
        lostSinceMs: 0,
        lostReason: '',
        ports: []
      }
    ]
  })
  assert.deepEqual(patterns, ['', 'dev.web.*.*'])
  assert.match((await run('services', 'bad.*.*.*')).stdout, / tcp +failing: uid 8 has 127\.0\.0\.1:80\/tcp +this host /)
  const none = await run('services', 'none.*.*.*')
  assert.equal(none.code, 0)
  assert.match(none.stderr, /nothing registered matches none/)
})

test('a watch prints the whole list again after each change, until it is ended', async t => {
  const change = Promise.withResolvers<void>()
  const { runtimeDir } = await fakeApi(t, {
    workload: {
      listServices: async () => ({ services: [] }),
      watchServices: async function* (_request, _caller, signal) {
        yield { services: [] }
        await change.promise
        yield { services: [SERVICE] }
        await new Promise(resolve => signal.addEventListener('abort', resolve))
      }
    }
  })
  const program = warren(scopeOf(t), ['services', '--watch', '--json'], {}, runtimeDir)
  await program.says(/^\{"services":\[\]\}\n/)
  change.resolve()
  await program.says(/^\{"services":\[\{"address":"dev\.web\.nginx\.default\.m1".*\}\]\}\n/m)
  program.signal('SIGTERM')
  assert.equal((await program.outcome()).code, 0)
})

test('status tells the role, the policy and the certificate', async t => {
  const status = {
    version: '1.2.3',
    trustDomain: 'example.org',
    machine: 'm1',
    state: 'ready',
    members: 3,
    connected: 2,
    certificateNotAfterMs: BigInt(Date.now() + 86_400_000),
    meshAddresses: ['/ip4/127.0.0.1/tcp/7460/p2p/12D3'],
    authority: true,
    admin: true,
    pid: 42
  }
  const { run } = await fakeApi(t, { workload: { getStatus: async () => status } })
  const { code, stdout } = await run('status')
  assert.equal(code, 0)
  assert.match(stdout, /^machine +m1$/m)
  assert.match(stdout, /^role +admits hosts, sets policy$/m)
  assert.match(stdout, /^members +3, connected to 2$/m)
  assert.match(stdout, /^policy +none: nothing is allowed$/m)
  assert.match(stdout, /^agent +warren 1\.2\.3, pid 42$/m)
  const json = JSON.parse((await run('status', '--json')).stdout) as Record<string, unknown>
  assert.equal(json['policyVersion'], 0)
  assert.equal(json['machine'], 'm1')
  assert.ok(!('$typeName' in json))
})

test('a session that is not proved again is an alarm of status, and of each of its flows', async t => {
  const cutAtMs = BigInt(Date.now() + 33 * 60_000)
  const problem = 'the other agent did not answer in time'
  const alarm = { machine: 'b', carrier: 'relay via c', cutAtMs, problem }
  const alarms = [
    { ...alarm, role: 'client', flows: 1 },
    ...Array.from({ length: 9 }, () => ({ ...alarm, role: 'server', flows: 2 }))
  ]
  const flow = { direction: 'outbound', source: 'a', destination: 'b', protocol: 1, carrier: 'relay via c', rule: 'r1' }
  const { run } = await fakeApi(t, {
    workload: { getStatus: async () => ({ sessionAlarms: alarms }) },
    admin: { listFlows: async () => ({ flows: [{ ...flow, cutAtMs, problem }, flow] }) }
  })
  const { stdout } = await run('status')
  assert.match(
    stdout,
    /^ALARM +session to b \(relay via c\): 1 flow is cut \S+ \(in 3\dm?.*\) unless renewed certificates are proved before: the other agent/m
  )
  assert.match(stdout, /^ALARM +session from b \(relay via c\): 2 flows are cut /m)
  assert.match(stdout, /^ALARM +and 2 more sessions$/m)
  const flows = (await run('flows')).stdout
  assert.match(flows, /RULE +ALARM$/m)
  assert.match(flows, / r1 +cut \S+ \(in .*\): the other agent did not answer in time$/m)
  assert.match(flows, / r1 +-$/m)
  assert.equal(JSON.parse((await run('flows', '--json')).stdout).flows[0].cutAtMs, Number(cutAtMs))
})

test('members and flows are tables', async t => {
  const { run } = await fakeApi(t, {
    admin: {
      listMembers: async () => ({
        members: [
          { machine: 'm2', peerId: '12D3', state: 'gone', leaseLeftMs: -5n, dataAddresses: ['10.0.0.2:7461'] },
          { machine: 'm3', peerId: '12D4', state: 'suspect', suspectSinceMs: BigInt(Date.now() - 7_200_000) }
        ]
      }),
      listFlows: async () => ({
        flows: [
          { id: 'f1', direction: 'inbound', source: 'a', destination: 'b', protocol: 1, bytesIn: 1_500n, rule: 'r1' }
        ]
      })
    }
  })
  assert.match((await run('members')).stdout, /^m2 +gone +unknown +0 +0 +ended +- +10\.0\.0\.2:7461$/m)
  assert.match((await run('members', '--wide')).stdout, /^m3 +suspect for 2h .* 12D4$/m)
  assert.match((await run('flows')).stdout, /^inbound +a +b +tcp +1\.5 kB +0 B +- +- +r1$/m)
  assert.deepEqual(JSON.parse((await run('flows', '--json')).stdout).flows[0].bytesIn, 1_500)
})

test('a token is the only thing on standard output', async t => {
  const asked: adminPb.CreateTokenRequest[] = []
  const { run } = await fakeApi(t, {
    admin: {
      createToken: async request => {
        asked.push(request)
        return { token: 'secret-token', expiresAtMs: BigInt(Date.now() + 1_800_000) }
      }
    }
  })
  const { code, stdout, stderr } = await run(
    'token',
    'create',
    'b',
    '--ttl',
    '30m',
    '--scope',
    'dev',
    '--scope',
    'prod'
  )
  assert.equal(code, 0)
  assert.equal(stdout, 'secret-token\n')
  assert.match(stderr, /^warren: admits b once, within .*warren up --join TOKEN$/m)
  assert.doesNotMatch(stderr, /secret/)
  const [request] = asked
  assert.deepEqual([request?.machine, request?.ttlMs, request?.scopes], ['b', 1_800_000, ['dev', 'prod']])
  assert.equal((await run('token', 'create', 'b', '--quiet')).stderr, '')
})

test('allow and deny print the id of the rule and pass on what it is limited to', async t => {
  const asked: Array<adminPb.Rule | undefined> = []
  const { run } = await fakeApi(t, {
    admin: {
      addRule: async ({ rule }) => {
        asked.push(rule)
        return { rule: { ...RULE, effect: rule?.effect ?? '' }, version: 7n }
      }
    }
  })
  const before = Date.now()
  const allow = await run('allow', 'dev.*.*.*', 'dev.web.*.*', '--tcp', '--until', '1h', '--reason', 'a test')
  assert.equal(allow.code, 0)
  assert.equal(allow.stdout, 'r7\n')
  const [rule] = asked
  assert.deepEqual([rule?.effect, rule?.source, rule?.destination], ['allow', 'dev.*.*.*', 'dev.web.*.*'])
  assert.deepEqual([rule?.protocols, rule?.reason], [[1], 'a test'])
  assert.ok(Number(rule?.untilMs) >= before + 3_600_000)
  const deny = await run('deny', 'dev.*.*.*', 'dev.web.*.*', '--json')
  assert.deepEqual(JSON.parse(deny.stdout).rule.effect, 'deny')
  assert.deepEqual([asked[1]?.effect, asked[1]?.protocols, asked[1]?.untilMs], ['deny', [], 0n])
})

test('the policy is shown with its version, and a rule is removed by its id', async t => {
  const { run } = await fakeApi(t, {
    admin: {
      getPolicy: async () => ({ version: 7n, rules: [RULE], admin: true }),
      removeRule: async ({ id }) => {
        if (id !== 'r7') throw new WarrenError(ErrorCode.NotFound, `the policy has no rule "${id}"`, { hint: 'Look.' })
        return { version: 8n }
      }
    }
  })
  const shown = await run('policy', 'show')
  assert.match(shown.stdout, /^r7 +allow +dev\.\*\.\*\.\* +dev\.web\.\*\.\* +tcp +- +-$/m)
  assert.match(shown.stderr, /version 7; this host sets it/)
  assert.equal((await run('policy', 'remove', 'r7')).stdout, 'r7\n')
  const unknown = await run('policy', 'remove', 'r8')
  assert.equal(unknown.code, 1)
  assert.equal(unknown.stderr, 'warren: NOT_FOUND: the policy has no rule "r8"\n  Look.\n')
})

test('explain exits with 0 only if the connection works, and with 3 if it cannot be said', async t => {
  const { run } = await fakeApi(t, {
    admin: {
      explain: async ({ source, protocol, uid }) => ({
        works: source === 'dev.a.b.c',
        undecided: source === 'dev.a.b.u',
        steps: [
          {
            subject: 'policy',
            ok: source === 'dev.a.b.c',
            unknown: source === 'dev.a.b.u',
            text: `protocol ${protocol}${uid === undefined ? '' : ` of uid ${uid}`}`,
            next: source === 'dev.a.b.x' ? 'allow it' : ''
          }
        ]
      })
    }
  })
  const works = await run('explain', 'dev.a.b.c', 'dev.a.b.d', '--local')
  assert.equal(works.code, 0)
  assert.match(works.stdout, /^ok +policy +protocol 1\nIt works\.$/m)
  const not = await run('explain', 'dev.a.b.x', 'dev.a.b.d', '--udp', '--local')
  assert.equal(not.code, 1)
  assert.match(not.stdout, /^NO +policy +protocol 2\n +allow it\nIt does not work\.$/m)
  assert.equal(not.stderr, '')
  const unknown = await run('explain', 'dev.a.b.u', 'dev.a.b.d', '--uid', '7')
  assert.equal(unknown.code, 3)
  assert.match(unknown.stdout, /^\? +policy +protocol 1 of uid 7\nIt cannot be said whether it works\.$/m)
  assert.equal((await run('explain', 'dev.a.b.u', 'dev.a.b.d', '--uid', 'x')).code, 2)
  assert.match((await run('explain', 'a', 'b', '--mesh', '--local')).stderr, /INVALID_OPTION: --mesh does not go with/)
})

test('explain joins what the hosts of both ends say, and shows what this host sees where it may not ask', async t => {
  const step = { subject: 'server', ok: true, text: 'there' }
  const end = (machine: string, role: string, works: boolean) => ({
    machine,
    state: 'answered',
    connections: [{ role, works, steps: [{ ...step, ok: works }] }]
  })
  const { run } = await fakeApi(t, {
    admin: {
      explain: async () => ({ works: true, steps: [step] }),
      async *observe({ ask }) {
        const source = ask.case === 'explain' ? ask.value.source : ''
        if (source === 'dev.a.b.refused') throw new WarrenError(ErrorCode.NotAdmin, 'no key')
        const hosts = [end('one', 'source', true)]
        if (source !== 'dev.a.b.alone') hosts.push(end('two', 'destination', source === 'dev.a.b.c'))
        yield { hosts, complete: source !== 'dev.a.b.alone', finished: true }
      }
    }
  })
  const works = await run('explain', 'dev.a.b.c', 'dev.a.b.d')
  assert.equal(works.code, 0, works.stderr)
  assert.match(works.stdout, /^one, host of the source\n[\s\S]*^two, host of the destination\n[\s\S]*^It works\.$/m)
  const fails = await run('explain', 'dev.a.b.x', 'dev.a.b.d')
  assert.deepEqual([fails.code, /^It does not work\.$/m.test(fails.stdout)], [1, true])
  // The host of the destination has not answered.
  assert.equal((await run('explain', 'dev.a.b.alone', 'dev.a.b.d')).code, 3)
  const alone = await run('explain', 'dev.a.b.refused', 'dev.a.b.d')
  assert.deepEqual([alone.code, alone.stderr], [0, 'warren: only this host was asked: no key\n'])
  assert.equal((await run('explain', 'dev.a.b.refused', 'dev.a.b.d', '--mesh')).code, 1)
})

test('a connection that policy refuses says who asked, and which commands come next', async t => {
  const { run } = await fakeApi(t, {
    workload: {
      register: async () => ({ token: 'token' }),
      connect: async () => {
        throw new WarrenError(ErrorCode.Unauthorized, 'no rule allows it')
      }
    }
  })
  const { code, stderr } = await run('connect', 'dev.web.*.default', '--as', 'dev.shop.cart.default')
  assert.equal(code, 1)
  const pair = "dev.shop.cart.default 'dev.web.*.default'"
  assert.equal(
    stderr,
    `warren: UNAUTHORIZED: no rule allows it\n  Each check: warren explain ${pair}; a rule, on the host that sets policy: warren allow ${pair}\n`
  )
})

test('register lets the caller own the registration, and deregister takes the token from standard input', async t => {
  const registered: apiPb.RegisterRequest[] = []
  const ended: string[] = []
  const { runtimeDir, run } = await fakeApi(t, {
    workload: {
      register: async request => {
        registered.push(request)
        return { token: 'secret', address: `${request.address}.m1`, replication: { state: 'replicated' } }
      },
      deregister: async ({ token }) => {
        ended.push(token)
        return { replication: { state: 'partial', acked: 1, required: 2, missing: ['m3'] } }
      }
    }
  })
  const options = ['--tcp', ':8080', '--allow', 'dev.*.*.*', '--label', 'v=2', '--ttl', '2m', '--wait', 'quorum']
  const { code, stdout } = await run('register', 'dev.web.nginx.default', ...options)
  assert.equal(code, 0)
  const answer = JSON.parse(stdout) as { token: string; address: string }
  assert.deepEqual([answer.token, answer.address], ['secret', 'dev.web.nginx.default.m1'])
  const [request] = registered
  assert.deepEqual(request?.target?.kind, { case: 'tcp', value: '127.0.0.1:8080' })
  assert.deepEqual([request?.whitelist, request?.labels], [['dev.*.*.*'], { v: '2' }])
  assert.deepEqual([request?.ttlMs, request?.wait, request?.ownerPid], [120_000, 2, process.pid])

  const deregister = warren(scopeOf(t), ['deregister', '-'], {}, runtimeDir)
  deregister.stdin.end('secret\n')
  const outcome = await deregister.outcome()
  assert.equal(outcome.stdout, 'OK\n')
  assert.match(outcome.stderr, /removed from this host and 1 of 2 other hosts; no answer yet from m3/)
  assert.deepEqual(ended, ['secret'])
})

test('a reader that goes away has what it wanted: the command ends with 0 and says nothing', async t => {
  const many = Array.from({ length: 5_000 }, () => SERVICE)
  const { runtimeDir } = await fakeApi(t, { workload: { listServices: async () => ({ services: many }) } })
  const command = `"${process.execPath}" "${WARREN}" services --runtime-dir "${runtimeDir}" | head -n 1; exit "\${PIPESTATUS[0]}"`
  const { code, stdout, stderr } = await new Program(scopeOf(t), ['bash', '-c', command]).outcome()
  assert.match(stdout, /^ADDRESS/)
  assert.equal(code, 0)
  assert.equal(stderr, '')
})

test('the agent is chosen by the option, before or after the verb, rather than by the environment', async t => {
  const { runtimeDir } = await fakeApi(t, { workload: { getStatus: async () => ({ machine: 'm1' }) } })
  assert.ok(existsSync(join(runtimeDir, 'agent.sock')))
  for (const args of [
    ['--runtime-dir', runtimeDir, 'status', '--json'],
    ['status', '--json', '--runtime-dir', runtimeDir]
  ]) {
    const { code, stdout } = await warren(scopeOf(t), args, {}, '/nonexistent').outcome()
    assert.equal(code, 0)
    assert.equal(JSON.parse(stdout).machine, 'm1')
  }
})
