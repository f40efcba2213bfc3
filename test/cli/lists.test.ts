import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Command } from 'commander'
import { buildProgram } from '../../src/cli/program.ts'
import { generatePeerKeyPair, peerKeyOf, rawPublicKey } from '../../src/identity/index.ts'
import { inTerminal, Program, scopeOf } from '../harness/index.ts'
import { fakeApi } from './fake-api.ts'

const PEER = peerKeyOf(rawPublicKey(generatePeerKeyPair()))
const SOURCE = 'production.payments.checkout-frontend.default.machine-one'
const DESTINATION = 'production.payments.database-of-orders.primary.machine-two'
const REASON = 'as long as the migration of the database of orders needs it, and not one day longer'
const AT = 1_900_000_000_000n
const RULE = {
  ...{ id: 'r7', effect: 'deny', source: SOURCE, destination: DESTINATION, protocols: [1], reason: REASON },
  ...{ by: 'alice', createdAtMs: AT, untilMs: AT, owner: 'payments', maxConnects: 10 }
}
const ENTRY = {
  ...{ id: 'e1', grants: SOURCE, machine: 'machine-one', uid: 1000, exePath: '/usr/lib/payments/checkout-frontend' },
  ...{ gateways: ['10.0.0.1:5432'], reason: REASON, by: 'alice', createdAtMs: AT, maxRate: 1_000_000 }
}
const POLICY = {
  ...{ version: 7n, rules: [RULE], entries: [ENTRY], admin: true },
  revocations: [{ id: 'x1', machine: 'machine-three', createdAtMs: AT, by: 'alice', reason: REASON }],
  invariants: [{ id: 'i1', source: SOURCE, destination: DESTINATION, by: 'alice', createdAtMs: AT, reason: REASON }]
}
const TOKEN = { id: 'ab'.repeat(32), machine: 'machine-nine', state: 'open', uses: 3, used: 1, expiresAtMs: AT }
const MEMBER = { machine: 'machine-one', peerId: PEER, state: 'suspect', dataAddresses: ['10.20.30.40:7461'] }
const SERVICE = {
  ...{ address: SOURCE, protocols: [1, 2], health: 'failing', problem: REASON, machine: 'machine-one' },
  ...{ registrationId: 'ab'.repeat(32), registeredAtMs: 1n }
}
const FLOW = {
  ...{ id: 'f1', direction: 'outbound', source: SOURCE, destination: DESTINATION, protocol: 1, rule: 'r7' },
  ...{ carrier: 'relay via machine-three', bytesIn: 1_500_000n, bytesOut: 3n, openedAtMs: 1n }
}
const RECEIPT = { machine: 'machine-one', state: 'refused', policyVersion: 7n, problem: REASON }
const WAITING = {
  machine: 'machine-nine',
  peerId: PEER,
  remote: '10.1.2.3:40000',
  method: 'token',
  via: 'abababababab'
}

interface Tried {
  readonly args: readonly string[]
  /** The marks of a PeerId: with --wide only, always, or it has none. */
  readonly peer: 'wide' | 'always' | 'none'
}

/** Every list, with what it takes to be one of an entry that is wider than a terminal. */
const LISTS: Readonly<Record<string, Tried>> = {
  status: { args: [], peer: 'always' },
  members: { args: [], peer: 'wide' },
  services: { args: [], peer: 'none' },
  flows: { args: [], peer: 'none' },
  'policy show': { args: [], peer: 'none' },
  'policy receipts': { args: [], peer: 'none' },
  'policy unused': { args: [], peer: 'none' },
  'entry list': { args: [], peer: 'none' },
  'token list': { args: [], peer: 'none' },
  'token show': { args: [TOKEN.id], peer: 'wide' },
  'admin list': { args: [], peer: 'wide' },
  'authority list': { args: [], peer: 'none' },
  'authority trusts': { args: [], peer: 'none' },
  'root status': { args: [], peer: 'none' },
  'who-can-reach': { args: [DESTINATION], peer: 'none' },
  'what-can': { args: [SOURCE, 'reach'], peer: 'none' },
  // Who approves a host compares it.
  admit: { args: ['--list'], peer: 'always' }
}

/** What begins as a list does, and is none of the agent's state: it follows, reads files, or shows one thing. */
const OTHERS = ['audit show', 'console', 'events', 'explain', 'inspect', 'policy diff', 'top']

const RUN = join(import.meta.dirname, 'run-commands.ts')
const COLUMNS = 80
const ESCAPE = '\u001b['

const served = {
  workload: {
    getStatus: async () => ({ machine: 'machine-one', peerId: PEER, state: 'ready' }),
    listServices: async () => ({ services: [SERVICE] }),
    watchServices: async function* (_request: unknown, _caller: unknown, signal: AbortSignal) {
      yield { services: [SERVICE] }
      await new Promise(resolve => signal.addEventListener('abort', resolve))
    }
  },
  admin: {
    listMembers: async () => ({ members: [MEMBER] }),
    listFlows: async () => ({ flows: [FLOW] }),
    getPolicy: async () => POLICY,
    awaitReceipts: async function* () {
      yield { version: 7n, hosts: [RECEIPT], complete: true }
    },
    listRuleUse: async () => ({ rules: [{ rule: RULE }], sinceMs: AT }),
    listTokens: async () => ({ tokens: [TOKEN] }),
    getToken: async () => ({ token: TOKEN, uses: [{ machine: 'machine-nine', peerId: PEER, remote: '10.1.2.3:4' }] }),
    listAdmins: async () => ({
      admins: [{ name: 'alice', role: 'admin', scopes: ['production'], key: PEER, addedAtMs: AT, reason: REASON }]
    }),
    listAuthorities: async () => ({ authorities: [{ machine: 'machine-one', state: 'connected', problem: REASON }] }),
    listJoinTrusts: async () => ({
      trusts: [{ id: TOKEN.id, kind: 'oidc', subject: `https://issuer.example.org/${'a'.repeat(60)}`, terms: {} }]
    }),
    getRoot: async () => ({ status: { version: 1n, roots: [{ sha256: TOKEN.id, notAfterMs: AT }] } }),
    listReach: async () => ({
      pairs: [{ source: SOURCE, destination: DESTINATION, protocol: 1, by: REASON }],
      statements: [
        { effect: 'allow', id: 'r7', source: SOURCE, destination: DESTINATION, protocols: [1], reason: REASON }
      ]
    }),
    listWaiting: async () => ({ hosts: [WAITING] })
  }
}

function leaves(command: Command, path: readonly string[] = []): Array<readonly [name: string, command: Command]> {
  if (command.commands.length === 0) return [[path.join(' '), command]]
  return command.commands.flatMap(one => leaves(one, [...path, one.name()]))
}

test('every command that lists has --watch and --wide, and is tried here', () => {
  const all = leaves(buildProgram())
  const has = (command: Command, name: string): boolean => command.options.some(({ long }) => long === name)
  const lists = all.filter(([, command]) => has(command, '--wide'))
  assert.deepEqual(lists.map(([name]) => name).sort(), Object.keys(LISTS).sort())
  for (const [name, command] of lists) assert.ok(has(command, '--watch'), name)
  const others = all.filter(([name, command]) => /^(list|show) /.test(command.description()) && !(name in LISTS))
  assert.deepEqual(others.map(([name]) => name).sort(), OTHERS)
})

/** The command line of each list, with more options. */
const linesWith = (...options: readonly string[]): string[][] =>
  Object.entries(LISTS).map(([name, { args }]) => [...name.split(' '), ...args, ...options])

/** Runs them, and returns what each list has printed. */
async function printed(
  lines: readonly string[][],
  start: (argv: readonly string[]) => Program
): Promise<ReadonlyMap<string, string>> {
  const { code, stdout, stderr } = await start([process.execPath, RUN, JSON.stringify(lines)]).outcome()
  assert.equal(code, 0, stdout + stderr)
  const [, ...parts] = stdout.replaceAll('\r\n', '\n').split(/^== \d+\n/m)
  assert.equal(parts.length, lines.length)
  return new Map(Object.keys(LISTS).map((name, at) => [name, parts[at] ?? '']))
}

test('without a terminal a list has no colours and no PeerId, and --wide and --color bring both', async t => {
  const { runtimeDir } = await fakeApi(t, served)
  const scope = scopeOf(t)
  const start = (argv: readonly string[]) => new Program(scope, argv, { env: { WARREN_RUNTIME_DIR: runtimeDir } })
  const plain = await printed(linesWith(), start)
  const wide = await printed(linesWith('--wide', '--color', 'always'), start)
  for (const [name, { peer }] of Object.entries(LISTS)) {
    const [short = '', long = ''] = [plain, wide].map(all => all.get(name))
    assert.ok(short !== '' && !short.includes(ESCAPE), name)
    assert.equal(short.includes(PEER), peer === 'always', name)
    assert.equal(long.includes(ESCAPE), name !== 'status', name)
    assert.equal(long.includes(PEER), peer !== 'none', name)
  }
})

test('in a terminal a list is as narrow as the terminal, and NO_COLOR takes its colours', async t => {
  const { runtimeDir } = await fakeApi(t, served)
  const scope = scopeOf(t)
  const env = { WARREN_RUNTIME_DIR: runtimeDir, NO_COLOR: '1', TERM: 'xterm', COLUMNS: undefined }
  const lists = await printed(linesWith('--quiet'), argv =>
    inTerminal(scope, ['sh', '-c', `stty cols ${COLUMNS}; exec "$0" "$@"`, ...argv], { env })
  )
  for (const [name, text] of lists) {
    assert.ok(!text.includes(ESCAPE), name)
    // Values of pairs are whole: an alarm that is cut could not be read.
    if (name === 'status') continue
    for (const line of text.split('\n')) assert.ok(line.length <= COLUMNS, `${name}: ${line}`)
  }
})

test('a terminal gets colours, the width that COLUMNS says, and every column with --wide', async t => {
  const { runtimeDir } = await fakeApi(t, served)
  const env = { WARREN_RUNTIME_DIR: runtimeDir, NO_COLOR: '', TERM: 'xterm', COLUMNS: '60' }
  const lines = [['flows'], ['flows', '--color', 'never', '--wide']]
  const { stdout } = await inTerminal(scopeOf(t), [process.execPath, RUN, JSON.stringify(lines)], { env }).outcome()
  const [narrow = '', wide = ''] = stdout.split(/^== 1\r\n/m)
  assert.ok(narrow.includes(`${ESCAPE}1mSOURCE${ESCAPE}0m`))
  assert.match(narrow, / …\r$/m)
  assert.match(narrow, /^production\S*…\S*-one +production\S*…\S*-two +1\.5 MB /m)
  assert.match(wide, /^DIRECTION +SOURCE/)
  assert.ok(wide.includes(`${SOURCE}  ${DESTINATION}`))
})

test('every list can be watched: one document at first, and an orderly end', async t => {
  const { runtimeDir } = await fakeApi(t, served)
  const lines = linesWith('--watch', '--json')
  const argv = [process.execPath, RUN, JSON.stringify(lines), 'together']
  const program = new Program(scopeOf(t), argv, { env: { WARREN_RUNTIME_DIR: runtimeDir } })
  await program.says(new RegExp(`^(\\{.*\\}\n){${lines.length}}`))
  program.signal('SIGINT')
  const { code, stdout } = await program.outcome()
  assert.equal(code, 0)
  assert.equal(stdout.split('\n').length, lines.length + 1, 'a list that has not changed is not printed again')
})
