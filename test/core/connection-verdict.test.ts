import assert from 'node:assert/strict'
import test from 'node:test'
import { concernedEnds, type EndVerdict, jointVerdict, type Verdict } from '../../src/core/index.ts'

const END = (role: string, verdict: Verdict): EndVerdict => ({
  role,
  works: verdict === 'works',
  undecided: verdict === 'undecided'
})

const CASES: ReadonlyArray<readonly [ends: readonly EndVerdict[], verdict: Verdict]> = [
  [[], 'undecided'],
  [[END('source', 'works')], 'works'],
  [[END('source', 'works'), END('destination', 'works')], 'works'],
  // The source speaks of the path, the destination of its server.
  [[END('source', 'works'), END('destination', 'fails')], 'fails'],
  [[END('source', 'fails'), END('destination', 'works')], 'fails'],
  [[END('source', 'works'), END('destination', 'undecided')], 'works'],
  // Without the host of the source nobody has tried the path.
  [[END('destination', 'works')], 'undecided'],
  [[END('destination', 'fails')], 'fails'],
  // One instance that works is enough.
  [[END('source', 'works'), END('destination', 'fails'), END('destination', 'works')], 'works'],
  [[END('source', 'undecided'), END('destination', 'works')], 'undecided'],
  [[END('neither', 'fails')], 'fails'],
  [[END('neither', 'fails'), END('neither', 'undecided')], 'undecided'],
  // Who is no end does not outvote one that is.
  [[END('neither', 'works'), END('source', 'fails')], 'fails']
]

test('hosts of both ends decide together whether a connection works', () => {
  for (const [ends, verdict] of CASES) assert.equal(jointVerdict(ends), verdict, JSON.stringify(ends))
})

test('an agent of before the third verdict says that a connection works or does not', () => {
  assert.equal(jointVerdict([{ role: 'source', works: false }]), 'fails')
})

test('the host of the source is shown first, and hosts of neither end only where there is no other', () => {
  const roles = (ends: readonly EndVerdict[]): string[] => concernedEnds(ends).map(({ role }) => role)
  assert.deepEqual(roles([END('neither', 'works'), END('destination', 'works'), END('source', 'works')]), [
    'source',
    'destination'
  ])
  assert.deepEqual(roles([END('neither', 'works')]), ['neither'])
})
