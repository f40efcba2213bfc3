import assert from 'node:assert/strict'
import test from 'node:test'
import { localCall, scopeOf, startPair } from '../harness/index.ts'

const many = (count: number, value: string): Record<string, string> =>
  Object.fromEntries(Array.from({ length: count }, (_, at) => [`k${at}`, value]))
const patterns = (count: number): string[] => Array.from({ length: count }, (_, at) => `dev.*.p${at}.*`)
/** A pattern of so many characters. */
function patternOf(length: number): string {
  const tail = '.*.*.*'
  const names = 'a,'.repeat(Math.floor((length - tail.length - 2) / 2)).slice(0, -1)
  const text = `{${names}}${tail}`
  return text.replace('{a', `{a${'a'.repeat(length - text.length)}`)
}

/** Each field of a registration, at its maximum and one beyond, and whether the first is to be taken. */
const CASES: ReadonlyArray<readonly [what: string, most: object, beyond: object]> = [
  ['labels', { labels: many(32, 'v') }, { labels: many(33, 'v') }],
  ['a label', { labels: { a: 'x'.repeat(255) } }, { labels: { a: 'x'.repeat(256) } }],
  ['a label in Japanese', { labels: { a: 'あ'.repeat(255) } }, { labels: { a: 'あ'.repeat(256) } }],
  ['the name of a label', { labels: { ['n'.repeat(255)]: 'x' } }, { labels: { ['n'.repeat(256)]: 'x' } }],
  ['the characters of a label', { labels: { a: 'é … 😀' } }, { labels: { a: 'x\u001b[2J' } }],
  ['the characters of a name', { labels: { é: 'x' } }, { labels: { 'a\nb': 'x' } }],
  ['an empty name of a label', { labels: { a: '' } }, { labels: { '': 'x' } }],
  ['all labels together', { labels: many(32, 'x'.repeat(200)) }, { labels: many(32, 'x'.repeat(255)) }],
  ['the whitelist', { whitelist: patterns(64) }, { whitelist: patterns(65) }],
  ['a pattern', { whitelist: [patternOf(1_024)] }, { whitelist: [patternOf(1_025)] }],
  [
    'all patterns together',
    { whitelist: Array(7).fill(patternOf(1_024)) },
    { whitelist: Array(9).fill(patternOf(1_024)) }
  ],
  ['the application', { application: 'x'.repeat(128) }, { application: 'x'.repeat(129) }],
  ['the time to live', { ttlMs: 2 ** 32 - 1 }, { ttlMs: 2 ** 32 }],
  ['an address', { address: `${'s'.repeat(63)}.g.i.r` }, { address: `${'s'.repeat(64)}.g.i.r` }]
]

test('a registration is taken by another host with each field at its maximum, and refused here beyond it', async t => {
  const scope = scopeOf(t)
  const [a, b] = await startPair(scope)
  const register = async (address: string, input: object) =>
    await localCall(a.socket, 'WorkloadService/Register', {
      address,
      ownerPid: process.pid,
      ttlMs: 3_600_000,
      wait: 'WAIT_LOCAL',
      ...input
    })
  const addresses: string[] = []
  for (const [at, [what, most, beyond]] of CASES.entries()) {
    const address = `dev.web.n${at}.default`
    const refused = await register(address, beyond)
    assert.ok(refused.status >= 400, `${what}: ${refused.status}`)
    assert.match(JSON.stringify(refused.body), /INVALID_ARGUMENT|LIMIT_EXCEEDED|cannot decode/, what)
    const taken = await register(address, most)
    assert.equal(taken.status, 200, `${what}: ${JSON.stringify(taken.body)}`)
    addresses.push((taken.body as { address: string }).address)
  }
  for (const address of addresses) await b.knows(address)
  // Whoever signs what others refuse is put in quarantine, with all that it has.
  assert.doesNotMatch(b.program.stderr, /registry alarm|registry message refused/)
  assert.equal((await b.status()).members, 2)
})
