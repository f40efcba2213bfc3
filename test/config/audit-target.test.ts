import assert from 'node:assert/strict'
import test from 'node:test'
import { MAX_AUDIT_TARGETS, parseAuditTargets, parseTraceTarget } from '../../src/config/audit-target.ts'

const only = (text: string) => parseAuditTargets([text])[0]

test('each form of a receiver is read, with the usual port of its protocol', () => {
  const cases: ReadonlyArray<readonly [string, string, string]> = [
    ['syslog+tcp://log.example', 'syslog', 'syslog+tcp://log.example:514'],
    ['syslog+tcp://log.example:80', 'syslog', 'syslog+tcp://log.example:80'],
    ['syslog+tls://[2001:db8::1]', 'syslog', 'syslog+tls://[2001:db8::1]:6514'],
    ['syslog+tls://log.example:443', 'syslog', 'syslog+tls://log.example:443'],
    ['syslog+udp://192.0.2.1:5140', 'datagrams', 'syslog+udp://192.0.2.1:5140'],
    ['https://log.example/in/secret-path?key=secret', 'webhook', 'https://log.example:443'],
    ['otlp+https://log.example:4318', 'otlp', 'otlp+https://log.example:4318'],
    ['otlp+http://127.0.0.1:4318', 'otlp', 'otlp+http://127.0.0.1:4318'],
    ['journald:', 'journal', 'journald:']
  ]
  for (const [text, kind, name] of cases) {
    const target = only(text)
    assert.deepEqual([target?.kind, target?.name], [kind, name])
  }
})

test('the path of OTLP is added to an address that does not have it', () => {
  const paths = ['', '/', '/otlp', '/otlp/', '/v1/logs', '/x/v1/logs'].map(path => {
    const target = only(`otlp+https://log.example${path}`)
    return target?.kind === 'otlp' ? target.url.pathname : undefined
  })
  assert.deepEqual(paths, ['/v1/logs', '/v1/logs', '/otlp/v1/logs', '/otlp/v1/logs', '/v1/logs', '/x/v1/logs'])
})

test('the names of files stand behind the address, and are no part of it', () => {
  const target = only('https://log.example/in#ca=/etc/ca.pem&cert=/etc/c.pem&key=/etc/k.pem&token=/etc/t')
  assert.ok(target?.kind === 'webhook')
  assert.deepEqual(target.tls, { ca: '/etc/ca.pem', cert: '/etc/c.pem', key: '/etc/k.pem' })
  assert.equal(target.token, '/etc/t')
  assert.equal(target.url.href, 'https://log.example/in')
  assert.equal(target.identity, 'https://log.example/in')
})

test('what cannot be meant is refused, with what to write instead, and without a password', () => {
  const refused = [
    'log.example:514',
    'syslog://log.example',
    'http://log.example/in',
    'ftp://log.example',
    'syslog+tcp://',
    'syslog+tcp://log.example/path',
    'syslog+tcp://log.example#ca=/etc/ca.pem',
    'syslog+tls://log.example#token=/etc/t',
    'syslog+tls://log.example#cert=/etc/c.pem',
    'syslog+tls://log.example#ca=relative.pem',
    'https://log.example#other=/etc/x',
    'otlp+http://log.example:4318#token=/etc/t',
    'otlp+http://127.0.0.1:4318#ca=/etc/ca.pem',
    'https://user:hunter2@log.example/in'
  ]
  for (const text of refused) {
    assert.throws(
      () => only(text),
      (err: { code?: string; hint?: string; message: string }) =>
        err.code === 'INVALID_ARGUMENT' && (err.hint ?? '') !== '' && !`${err.message} ${err.hint}`.includes('hunter2'),
      text
    )
  }
  assert.doesNotThrow(() => only('otlp+http://127.0.0.1:4318#token=/etc/t'))
})

test('receivers have a bound, and each is named once', () => {
  const many = Array.from({ length: MAX_AUDIT_TARGETS + 1 }, (_, index) => `syslog+tcp://log${index}.example`)
  assert.equal(parseAuditTargets(many.slice(1)).length, MAX_AUDIT_TARGETS)
  assert.throws(() => parseAuditTargets(many), /more than 4 receivers/)
  assert.throws(() => parseAuditTargets(['syslog+tcp://a', 'syslog+tcp://a:514']), /named twice/)
  assert.equal(parseAuditTargets(['https://a/one', 'https://a/two']).length, 2)
})

test('a collector of traces is an address of HTTP, and a token for it does not leave without encryption', () => {
  const target = parseTraceTarget('http://127.0.0.1:4318')
  assert.deepEqual([target.name, target.url.pathname], ['otlp+http://127.0.0.1:4318', '/v1/traces'])
  const secured = parseTraceTarget('https://otlp.example.org/x#token=/etc/t')
  assert.deepEqual([secured.url.href, secured.token], ['https://otlp.example.org/x/v1/traces', '/etc/t'])
  for (const text of ['otlp.example.org:4318', 'syslog+tcp://log.example', 'journald:', '', 'ftp://x']) {
    assert.throws(() => parseTraceTarget(text), { code: 'INVALID_ARGUMENT', message: /--otlp: the value is not/ }, text)
  }
  assert.throws(() => parseTraceTarget('http://otlp.example.org#token=/etc/t'), { message: /--otlp: a token must not/ })
})
