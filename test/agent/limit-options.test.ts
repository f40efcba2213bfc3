import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { LIMIT_OPTIONS, MAX_LIMIT, resolveLimits } from '../../src/agent/limit-options.ts'
import { ErrorCode, LIMIT_NAMES } from '../../src/core/index.ts'

describe('limits that an operator sets', () => {
  it('stand in for the defaults, one by one', () => {
    const defaults = resolveLimits()
    const { proxy, workloads } = resolveLimits({ proxy_flows: 7, registrations_per_uid: 3 })
    assert.deepEqual(proxy, { ...defaults.proxy, flows: 7 })
    assert.deepEqual(workloads, { ...defaults.workloads, maxPerUid: 3 })
  })

  it('are refused by name when there is no such limit, or none that can be set', () => {
    for (const name of ['proxy_flow', 'registry_total_bytes', '__proto__', 'constructor']) {
      assert.throws(() => resolveLimits(JSON.parse(`{"${name}": 5}`)), {
        code: ErrorCode.InvalidOption,
        message: new RegExp(name)
      })
    }
  })

  it('are whole numbers that a host can carry', () => {
    for (const value of [0, -1, 1.5, Number.NaN, MAX_LIMIT + 1]) {
      assert.throws(() => resolveLimits({ proxy_flows: value }), { code: ErrorCode.InvalidOption })
    }
  })

  it('have the names of the metrics, and are all on the page', () => {
    const page =
      readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'limits.md'), 'utf8').split('\n## ', 1)[0] ?? ''
    for (const name of LIMIT_OPTIONS) {
      assert.ok((LIMIT_NAMES as readonly string[]).includes(name), name)
      assert.ok(page.includes(`\`${name}\``), name)
    }
  })
})
