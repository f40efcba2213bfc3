import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { type ChainEnd, verifyLog } from '../../src/audit/index.ts'
import { generatePeerKeyPair, peerKeyOf, rawPublicKey } from '../../src/identity/index.ts'
import { scopeOf } from '../harness/index.ts'
import { FLOW, openLog, PEER } from './support.ts'

const ROUNDS = 200

/** Pseudo-random numbers below `max`; the same ones in each run. */
function chances(seed: number): (max: number) => number {
  let state = seed
  return max => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * max)
  }
}

interface Made {
  readonly path: string
  readonly lines: readonly string[]
  readonly checkpoint: ChainEnd
}

async function madeLog(directory: string): Promise<Made> {
  const path = join(directory, 'audit.log')
  for (const run of [0, 1]) {
    const log = await openLog(path)
    for (let number = 0; number < 12; number += 1) log.add('flow-opened', { ...FLOW, flowId: `f${run}-${number}` })
    await log.close()
  }
  const { last } = await verifyLog(path)
  assert.ok(last !== undefined)
  return { path, lines: readFileSync(path, 'utf8').split('\n').slice(0, -1), checkpoint: last }
}

type Damage = (
  lines: readonly string[],
  chance: (max: number) => number
) => { readonly text: string; readonly line: number }

const joined = (lines: readonly string[]): string => lines.map(line => `${line}\n`).join('')

/** Each returns the log that it makes, and the number of the first line that is not as it was. */
const DAMAGES: Readonly<Record<string, Damage>> = {
  'a changed byte': (lines, chance) => {
    const at = chance(lines.length)
    const line = lines[at] ?? ''
    const column = chance(line.length)
    const other = String.fromCharCode(line.charCodeAt(column) ^ (1 << chance(7)))
    const changed = line.slice(0, column) + other + line.slice(column + 1)
    const text = joined([...lines.slice(0, at), changed, ...lines.slice(at + 1)])
    return { text, line: at + 1 }
  },
  'a changed field': (lines, chance) => {
    const at = 1 + chance(10)
    const changed = (lines[at] ?? '').replace('"uid":1000', '"uid":0')
    return { text: joined([...lines.slice(0, at), changed, ...lines.slice(at + 1)]), line: at + 1 }
  },
  'a removed line': (lines, chance) => {
    const at = chance(lines.length)
    return { text: joined(lines.filter((_, index) => index !== at)), line: at + 1 }
  },
  'two lines in another order': (lines, chance) => {
    const [one, other] = [chance(lines.length - 1), 1 + chance(lines.length - 1)]
    const [first, second] = one < other ? [one, other] : [other, one === other ? one + 1 : one]
    const moved = [...lines]
    moved[first] = lines[second] ?? ''
    moved[second] = lines[first] ?? ''
    return first === second ? DAMAGES['a removed line']!(lines, chance) : { text: joined(moved), line: first + 1 }
  },
  'a line twice': (lines, chance) => {
    const at = chance(lines.length)
    const twice = [...lines.slice(0, at + 1), ...lines.slice(at)]
    return { text: joined(twice), line: at + 2 }
  },
  'an end that is cut off': (lines, chance) => {
    const text = joined(lines)
    const cut = text.slice(0, chance(text.length))
    return { text: cut, line: cut.split('\n').length }
  }
}

for (const [name, damage] of Object.entries(DAMAGES)) {
  test(`${name} is found, with its line`, async t => {
    const made = await madeLog(scopeOf(t).directory())
    const chance = chances(name.length)
    for (let round = 0; round < ROUNDS; round += 1) {
      const { text, line } = damage(made.lines, chance)
      writeFileSync(made.path, text)
      const found = await verifyLog(made.path, { checkpoints: [made.checkpoint], peers: [PEER] })
      assert.ok(found.damage !== undefined, `${name} in line ${line}, round ${round}`)
      assert.equal(found.damage.line, line, `${name}: ${found.damage.problem}`)
    }
  })
}

test('without a checkpoint of another host, only an end that is cut off before a signed line is not found', async t => {
  const { path, lines, checkpoint } = await madeLog(scopeOf(t).directory())
  writeFileSync(path, joined(lines.slice(0, 5)))
  const alone = await verifyLog(path)
  assert.deepEqual([alone.damage, alone.signedThrough, alone.last?.seq], [undefined, 1, 5])
  const { damage } = await verifyLog(path, { checkpoints: [checkpoint] })
  assert.match(String(damage?.problem), /lines 6 to 28 are missing: the end is cut off/)
})

test('a chain that is made anew behind a changed line is found at the next signed line', async t => {
  const { path, lines } = await madeLog(scopeOf(t).directory())
  const [, first = ''] = lines
  const forged = [lines[0] ?? '', first.replace('"uid":1000', '"uid":0')]
  for (const line of lines.slice(2)) {
    const sha256 = hash('sha256', forged.at(-1) ?? '', 'hex')
    forged.push(line.replace(/"prev":"[0-9a-f]{64}"/, `"prev":"${sha256}"`))
  }
  writeFileSync(path, joined(forged))
  const { damage } = await verifyLog(path)
  assert.match(String(damage?.problem), /its signature is not valid/)
  assert.equal(damage?.line, 14)
})

test('a log that is signed by another key is refused if the key is known', async t => {
  const { path } = await madeLog(scopeOf(t).directory())
  const other = peerKeyOf(rawPublicKey(generatePeerKeyPair()))
  assert.match(String((await verifyLog(path, { peers: [other] })).damage?.problem), /signed by another host/)
  assert.deepEqual((await verifyLog(path)).peers, [PEER])
})

test('a checkpoint with another hash, or of a line that never was, is found', async t => {
  const { path, checkpoint } = await madeLog(scopeOf(t).directory())
  const other = { seq: 4, sha256: '0'.repeat(64) }
  assert.equal((await verifyLog(path, { checkpoints: [other] })).damage?.seq, 4)
  const later = { ...checkpoint, seq: checkpoint.seq + 1 }
  assert.match(String((await verifyLog(path, { checkpoints: [later] })).damage?.problem), /line 29 is missing/)
})

test('a file that is no audit log is damaged in its first line, and a missing one cannot be verified', async t => {
  const directory = scopeOf(t).directory()
  const path = join(directory, 'audit.log')
  await assert.rejects(verifyLog(path), { code: 'INVALID_ARGUMENT' })
  for (const text of ['hello\n', '{}\n', '[]\n', '\n', `${'x'.repeat(100_000)}\n`, 'null\n', '\u0000\n']) {
    writeFileSync(path, text)
    assert.equal((await verifyLog(path)).damage?.line, 1, JSON.stringify(text.slice(0, 20)))
  }
})
