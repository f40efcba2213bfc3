// The short form of `npm run test:mutants`: the whole list is checked, and few of it are planted.
import assert from 'node:assert/strict'
import { describe, it, test } from 'node:test'
import { fateOf, requireFresh } from './check.ts'
import { MUTANTS } from './list/index.ts'
import type { Mutant } from './mutant.ts'

const EVALUATE = {
  file: 'src/policy/evaluate.ts',
  find: "applying.find(rule => rule.effect === 'deny')",
  tests: ['test/policy/evaluate.test.ts']
}

/** The first of the list in a folder. */
function firstOf(folder: string): Mutant {
  const found = MUTANTS.find(({ file }) => file.startsWith(folder))
  if (found === undefined) throw new Error(`no mutant is in ${folder}`)
  return found
}

test('every mutant of the list still applies, and the tests that are to find it exist', () => {
  requireFresh(MUTANTS)
  for (const folder of ['src/policy/', 'src/identity/verify/', 'src/registry/', 'src/proxy/flow/', 'src/proxy/legs/']) {
    const count = MUTANTS.filter(({ file }) => file.startsWith(folder)).length
    assert.ok(count >= 8, `${count} mutants in ${folder}`)
  }
})

test('a list that has rotted is an error', () => {
  const mutant = { ...EVALUATE, breaks: 'Nothing.', replace: 'undefined' }
  for (const rotten of [
    { ...mutant, find: 'this is nowhere' },
    { ...mutant, find: 'rule' },
    { ...mutant, tests: ['test/policy/gone.test.ts'] },
    { ...mutant, tests: [] }
  ]) {
    assert.throws(() => requireFresh([rotten]), /rotted/)
  }
  assert.throws(() => requireFresh([mutant, mutant]), /same words/)
})

describe('the runner', { concurrency: 2 }, () => {
  for (const folder of ['src/policy/', 'src/identity/verify/', 'src/registry/']) {
    it(`finds a mutant of ${folder}`, async () => {
      const fate = await fateOf(firstOf(folder))
      assert.equal(fate.is, 'found', JSON.stringify(fate))
    })
  }

  it('sees a mutant that changes nothing survive', async () => {
    assert.deepEqual(await fateOf({ ...EVALUATE, breaks: 'Nothing.', replace: `(${EVALUATE.find})` }), {
      is: 'survived'
    })
  })

  it('takes no mutant that does not load for found', async () => {
    const fate = await fateOf({ ...EVALUATE, breaks: 'Nothing.', replace: '(' })
    assert.match(fate.is === 'unusable' ? fate.why : fate.is, /does not load/)
  })
})
