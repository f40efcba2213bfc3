import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { parseLabels } from '../../src/cli/options/labels.ts'
import { readSecret } from '../../src/cli/options/secret.ts'
import { parseUntil } from '../../src/cli/options/until.ts'
import { filesOf, parseConfig, requireFiles } from '../../src/config/files/index.ts'
import {
  durationMs,
  ErrorCode,
  editDistance,
  formatHostPort,
  nearest,
  parseDuration,
  parseHostPort
} from '../../src/core/index.ts'
import { parseEndpoint } from '../../src/listeners/index.ts'

const INVALID = { name: 'WarrenError', code: ErrorCode.InvalidArgument }

test('a length of time is a sum of numbers with units, and nothing else is one', () => {
  const right = {
    '90s': 90_000,
    '30m': 1_800_000,
    '1h30m': 5_400_000,
    '7d': 604_800_000,
    '1.5h': 5_400_000,
    '250ms': 250
  }
  for (const [text, ms] of Object.entries(right)) assert.equal(durationMs(text), ms, text)
  for (const text of ['', '5', 'h', '1 h', '-1h', '1h-', '1x', '1e3s', '999999999d', `${'1s'.repeat(100)}`]) {
    assert.equal(durationMs(text), undefined, text)
  }
})

test('a length of time out of range is refused with the range', () => {
  assert.equal(parseDuration('--ttl', '1h', 1_000, 3_600_000), 3_600_000)
  assert.throws(() => parseDuration('--ttl', '2h', 1_000, 3_600_000), { ...INVALID, hint: 'Give 1 to 3600 seconds.' })
  assert.throws(() => parseDuration('--ttl', 'soon', 1_000, 3_600_000), INVALID)
})

test('the end of a rule is a length of time from now or a date in the future', () => {
  const now = Date.parse('2030-01-01T00:00:00Z')
  assert.equal(parseUntil('30m', now), now + 1_800_000)
  assert.equal(parseUntil('2030-12-24T18:00Z', now), Date.parse('2030-12-24T18:00:00Z'))
  assert.equal(parseUntil('2030-12-24 18:00:00+01:00', now), Date.parse('2030-12-24T17:00:00Z'))
  assert.equal(parseUntil('2030-12-24', now), new Date(2030, 11, 24, 23, 59, 59, 999).getTime())
  for (const text of ['tomorrow', '24.12.2030', '2030-13-01', '2030', '']) {
    assert.throws(() => parseUntil(text, now), INVALID, text)
  }
  assert.throws(() => parseUntil('2029-12-31', now), /is past/)
  assert.throws(() => parseUntil('0s', now), /is past/)
})

test('a listener is host and port, a port alone, or the path of a socket', () => {
  assert.deepEqual(parseHostPort('127.0.0.1:80', { option: '--listen', defaultHost: 'x' }), {
    host: '127.0.0.1',
    port: 80
  })
  assert.deepEqual(parseHostPort('[::1]:0', { option: '--listen' }), { host: '::1', port: 0 })
  assert.deepEqual(parseHostPort(':7460', { defaultHost: '0.0.0.0' }), { host: '0.0.0.0', port: 7460 })
  assert.deepEqual(parseEndpoint('--listen', 'unix:/run/a.sock'), { kind: 'unix', path: '/run/a.sock' })
  assert.equal(formatHostPort({ host: '::1', port: 80 }), '[::1]:80')
  for (const text of ['', '80', '127.0.0.1', 'a:b', '::1:80', 'host:65536', 'unix:', '/run/a.sock', 'http://a:80']) {
    assert.throws(() => parseEndpoint('--listen', text), { ...INVALID, message: /--listen/ }, text)
  }
})

test('a label has a key, and may hold further equals signs', () => {
  assert.deepEqual(parseLabels(['version=2', 'query=a=b', 'empty=']), { version: '2', query: 'a=b', empty: '' })
  assert.throws(() => parseLabels(['version']), INVALID)
  assert.throws(() => parseLabels(['=2']), INVALID)
})

test('a secret may be in a file, so that it is not in the list of processes', async t => {
  const dir = mkdtempSync(join(tmpdir(), 'warren-cli-'))
  t.after(() => rmSync(dir, { recursive: true }))
  const file = join(dir, 'token')
  writeFileSync(file, ' secret\n')
  assert.equal(await readSecret('--join', `@${file}`), 'secret')
  assert.equal(await readSecret('--join', 'direct'), 'direct')
  writeFileSync(file, '\n')
  await assert.rejects(readSecret('--join', `@${file}`), /--join is empty/)
  writeFileSync(file, 'x'.repeat(20_000))
  await assert.rejects(readSecret('--join', `@${file}`), INVALID)
  await assert.rejects(readSecret('--join', `@${dir}/none`), /cannot read .*ENOENT/)
})

test('the nearest word is suggested only if it is near', () => {
  const words = ['listen', 'data-listen', 'log-level']
  assert.equal(nearest('lsiten', words), 'listen')
  assert.equal(nearest('loglevel', words), 'log-level')
  assert.equal(nearest('dataListen', words), 'data-listen')
  assert.equal(nearest('bandwidth', words), undefined)
  assert.equal(editDistance('ab', 'ba'), 1)
  assert.equal(editDistance('', 'abc'), 3)
})

test('a configuration file has the long options of up as keys', () => {
  const text = 'name: a\nlisten: 127.0.0.1:0\nbootstrap: [/ip4/10.0.0.1/tcp/7460]\nmdns: false\nlog-level: debug\n'
  assert.deepEqual(parseConfig('f', text), {
    name: 'a',
    listen: '127.0.0.1:0',
    bootstrap: ['/ip4/10.0.0.1/tcp/7460'],
    mdns: false,
    'log-level': 'debug'
  })
  assert.deepEqual(parseConfig('f', ''), {})
})

test('a configuration file that is wrong is refused with the file, the key and what to do', () => {
  const wrong: ReadonlyArray<readonly [string, RegExp, RegExp]> = [
    ['lsiten: a', /f:1:1: unknown key "lsiten"/, /Did you mean "listen"\?/],
    ['bandwidth: 1', /unknown key "bandwidth"/, /The keys are: name, .*, limits, log-level, services, forwards\.$/],
    ['mdns: 3', /f:1:7: mdns: expected boolean/, /true or false/],
    ['bootstrap: [1]', /f:1:13: bootstrap\.0: expected string/, /in quotes: "1"/],
    ['log-level: loud', /f:1:12: log-level: "loud" is not one of error, .*info/, /Choose one/],
    ['[a]', /f:1:1: expected object/, /long options/],
    ['a: [', /f:1:5: not YAML: /, /quotes/]
  ]
  for (const [text, message, hint] of wrong) {
    assert.throws(
      () => parseConfig('f', text),
      (err: Error & { code?: string; hint?: string }) => {
        assert.equal(err.code, ErrorCode.InvalidConfig, text)
        assert.match(err.message, message)
        assert.match(err.hint ?? '', hint)
        return true
      }
    )
  }
  assert.throws(() => requireFiles(filesOf('/nonexistent.yaml')), {
    code: ErrorCode.InvalidConfig,
    message: /cannot read \/nonexistent\.yaml: it does not exist \(ENOENT\)/
  })
})
