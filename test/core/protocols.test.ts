import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  ANNOUNCED_PROTOCOLS,
  commonVersion,
  formatVersions,
  isVersionRange,
  PROTOCOLS,
  softwareVersion
} from '../../src/core/index.ts'

test('two programs use the best version that both speak, and none if there is none', () => {
  const range = (min: number, max: number) => ({ min, max })
  assert.equal(commonVersion(range(1, 3), range(2, 5)), 3)
  assert.equal(commonVersion(range(2, 5), range(1, 3)), 3)
  assert.equal(commonVersion(range(1, 1), range(1, 1)), 1)
  assert.equal(commonVersion(range(1, 1), range(2, 2)), undefined)
  assert.equal(commonVersion(range(4, 9), range(1, 3)), undefined)
})

test('what is not a version counts as none', () => {
  for (const [min, max] of [
    [0, 1],
    [2, 1],
    [1, 65_536],
    [1.5, 2],
    [Number.NaN, 1],
    [-1, 1]
  ] as const) {
    assert.equal(isVersionRange({ min, max }), false, `${min} to ${max}`)
  }
  assert.ok(isVersionRange({ min: 1, max: 65_535 }))
  assert.equal(formatVersions({ min: 2, max: 2 }), '2')
  assert.equal(formatVersions({ min: 1, max: 3 }), '1-3')
})

test('the version of another program is shown only if a terminal can show it and it is short', () => {
  for (const text of ['0.1.0', '1.0.0-rc.1+build.5', '99.0.0', 'v'.repeat(32)])
    assert.equal(softwareVersion(text), text)
  for (const text of ['', ' ', '1.0\u001b[2J', '1.0\n', 'v'.repeat(33), '0.1.0 ALARM', '-1', '<b>']) {
    assert.equal(softwareVersion(text), '', JSON.stringify(text))
  }
})

test('every protocol has versions, and other hosts see all but those of its sockets and of what an option turns on', () => {
  for (const versions of Object.values(PROTOCOLS)) assert.ok(isVersionRange(versions))
  assert.deepEqual(
    ANNOUNCED_PROTOCOLS.map(({ name }) => name),
    Object.keys(PROTOCOLS).filter(name => name !== 'local-api' && name !== 'resume')
  )
})
