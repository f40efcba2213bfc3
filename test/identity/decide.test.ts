import assert from 'node:assert/strict'
import test from 'node:test'
import {
  type AdmissionFacts,
  type Candidate,
  decideAdmission,
  type Grant,
  type JoinUse,
  type PeerKey
} from '../../src/identity/index.ts'
import { isNamed, parseMachinePattern, parseNamePattern, partOf } from '../../src/identity/join/name-pattern.ts'
import { code } from './authority.ts'

const NOW = 1_000_000
const grant: Grant = {
  method: 'token',
  via: 't1',
  source: 't1',
  names: 'web-*',
  scopes: ['dev'],
  ephemeral: false,
  needsApproval: false,
  from: ['10.0.0.0/8', '2001:db8::/32'],
  uses: 2,
  createdAtMs: NOW - 100,
  expiresAtMs: NOW + 100,
  revokedAtMs: undefined
}
const peer = 'peer-1' as PeerKey
const host: Candidate = { machine: 'web-1', peer, keys: 'k1', scopes: ['dev'], ephemeral: false, remote: '10.1.2.3' }
const use = (change: Partial<JoinUse>): JoinUse => ({
  source: 't1',
  method: 'token',
  keys: 'k9',
  machine: 'web-9',
  peer: 'peer-9' as PeerKey,
  remote: '10.9.9.9',
  usedAtMs: NOW - 50,
  ephemeral: false,
  leftAtMs: undefined,
  ...change
})
const facts: AdmissionFacts = {
  nowMs: NOW,
  uses: [],
  waiting: undefined,
  taken: undefined,
  isSucceeded: false,
  admittedFromMs: 0,
  revocation: undefined
}
const waiting = { ...use({ keys: 'k1', machine: 'web-1', peer }), via: 't1', askedAtMs: NOW, seenAtMs: NOW }

interface Change {
  readonly grant?: Partial<Grant>
  readonly host?: Partial<Candidate>
  readonly facts?: Partial<AdmissionFacts>
}
const decide = (change: Change = {}) =>
  decideAdmission({ ...grant, ...change.grant }, { ...host, ...change.host }, { ...facts, ...change.facts })

test('a host that has all that its grant asks for is admitted, and gets its certificate again', () => {
  assert.equal(decide(), 'admit')
  assert.equal(decide({ host: { remote: '2001:db8::7' } }), 'admit')
  assert.equal(decide({ facts: { uses: [use({ keys: 'k1', machine: 'web-1' }), use({})] } }), 'again')
})

test('each single fault refuses a host, whatever its method is', () => {
  const faults: ReadonlyArray<readonly [Change, RegExp]> = [
    [{ grant: { revokedAtMs: NOW } }, /was revoked at/],
    [{ grant: { expiresAtMs: NOW } }, /expired at/],
    [{ host: { remote: '192.0.2.1' } }, /does not admit a host at 192\.0\.2\.1/],
    [{ host: { remote: '' } }, /does not admit a host at/],
    [{ facts: { uses: [use({}), use({ keys: 'k8' })] } }, /all of its uses/],
    [{ host: { machine: 'db-1' } }, /not db-1/],
    [{ host: { scopes: [] } }, /other scopes/],
    [{ host: { scopes: ['dev', 'prod'] } }, /other scopes/],
    [{ host: { ephemeral: true } }, /not for ephemeral/],
    [{ grant: { ephemeral: true } }, /for ephemeral hosts/],
    [{ facts: { admittedFromMs: NOW } }, /older than the eviction/],
    [{ facts: { taken: 'a host of this name is a member' } }, /does not admit another web-1/],
    [{ facts: { uses: [use({ keys: 'k1', machine: 'web-2' })] } }, /has admitted this host as web-2/],
    [{ facts: { uses: [use({ keys: 'k1', machine: 'web-1' })], isSucceeded: true } }, /another host holds the name/],
    [{ facts: { waiting: { ...waiting, state: 'refused' } } }, /an admin has refused/]
  ]
  for (const [change, reason] of faults) {
    assert.throws(() => decide(change), code('TOKEN_REFUSED', reason), String(reason))
    const byCertificate = { ...change, grant: { ...change.grant, method: 'certificate' as const } }
    assert.throws(() => decide(byCertificate), code('CERTIFICATE_REFUSED', reason), String(reason))
  }
})

test('a grant with approval holds a host until it is admitted, and its time counts as of the first request', () => {
  const needs = { needsApproval: true }
  assert.equal(decide({ grant: needs }), 'wait')
  assert.equal(decide({ grant: needs, facts: { waiting: { ...waiting, state: 'waiting' } } }), 'wait')
  const late = { nowMs: NOW + 1_000 }
  assert.equal(decide({ grant: needs, facts: { ...late, waiting: { ...waiting, state: 'admitted' } } }), 'admit')
  assert.throws(() => decide({ grant: needs, facts: late }), code('TOKEN_REFUSED', /expired/))
  // What the admin admits is still bounded by the token.
  const spent = { uses: [use({}), use({ keys: 'k8' })], waiting: { ...waiting, state: 'admitted' as const } }
  assert.throws(() => decide({ grant: needs, facts: spent }), code('TOKEN_REFUSED', /all of its uses/))
})

test('a pattern has one wildcard, which stands for at least one character of a name', () => {
  for (const [pattern, name, is] of [
    ['web-*', 'web-1', true],
    ['web-*', 'web-', false],
    ['*-web', 'a-web', true],
    ['a*b', 'ab', false],
    ['a*a', 'a', false],
    ['*', 'x', true],
    ['web', 'web', true],
    ['web', 'web1', false],
    ['w.b', 'wxb', false]
  ] as const) {
    assert.equal(isNamed(pattern, name), is, `${pattern} ${name}`)
  }
  assert.equal(partOf('repo:acme/*:main', 'repo:acme/app:main'), 'app')
  assert.equal(partOf('repo:acme/*:main', 'repo:acme/app:dev'), undefined)
  for (const text of ['', '**', 'a*b*', 'a b', 'ä', 'x'.repeat(129)]) {
    assert.throws(() => parseNamePattern(text, '--name'), code('INVALID_ARGUMENT'), text)
  }
  for (const text of ['a.*', '-*', '*/x', 'a@b']) {
    assert.throws(() => parseMachinePattern(text, '--name'), code('INVALID_ARGUMENT'), text)
  }
})
