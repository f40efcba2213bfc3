import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { openKey } from '../../src/cli/keys/index.ts'
import { parseDeviceKey } from '../../src/cli/keys/pkcs11.ts'
import { ErrorCode } from '../../src/core/index.ts'
import { CONTEXT, inContext, parsePeerKey, rawKeyOf, verifySignature } from '../../src/identity/index.ts'
import { needsCommand, scopeOf } from '../harness/index.ts'

const LIBRARIES = ['/usr/lib/softhsm/libsofthsm2.so', '/usr/lib64/pkcs11/libsofthsm2.so', '/usr/lib64/libsofthsm2.so']
const BYTES = Buffer.from('what an admin states')

test('the URI of a key on a device names a token and one object, and never a library or a PIN', () => {
  assert.deepEqual(parseDeviceKey('token=my%20key;id=%01%fF'), { token: 'my key', id: '01ff', object: undefined })
  assert.deepEqual(parseDeviceKey('object=bob;token=t'), { token: 't', id: undefined, object: 'bob' })
  for (const text of [
    '',
    'token=t',
    'id=%01',
    'token=;id=%01',
    'token=t;id=01',
    'token=t;id=%01;object=bob',
    'token=t;token=u;id=%01',
    'token=%;id=%01',
    'token=t;id=%01;module-path=/tmp/evil.so',
    'token=t;id=%01?pin-value=1234',
    'token=t;id=%01;pin-source=file:/etc/shadow'
  ])
    assert.throws(() => parseDeviceKey(text), { code: ErrorCode.InvalidOption }, text)
})

test('a key on a PKCS#11 device signs as any host verifies, after its PIN', async t => {
  const library = LIBRARIES.find(path => existsSync(path))
  if (library === undefined) {
    t.skip('needs SoftHSM2 (softhsm2), which is not installed')
    return
  }
  if (!needsCommand(t, 'pkcs11-tool') || !needsCommand(t, 'softhsm2-util')) return
  const directory = scopeOf(t).directory()
  mkdirSync(join(directory, 'tokens'))
  const pins = join(directory, 'pin')
  writeFileSync(pins, '1234\n', { mode: 0o600 })
  writeFileSync(join(directory, 'softhsm2.conf'), `directories.tokendir = ${join(directory, 'tokens')}\n`)
  Object.assign(process.env, {
    SOFTHSM2_CONF: join(directory, 'softhsm2.conf'),
    WARREN_PKCS11_MODULE: library,
    WARREN_PKCS11_PIN_FILE: pins
  })
  const quiet = { stdio: 'ignore' } as const
  execFileSync(
    'softhsm2-util',
    ['--init-token', '--free', '--label', 'adm', '--pin', '1234', '--so-pin', '5678'],
    quiet
  )
  const login = ['--module', library, '--token-label', 'adm', '--login', '--pin', '1234']
  for (const [type, id] of [
    ['EC:edwards25519', '01'],
    ['EC:prime256v1', '02']
  ] as const)
    execFileSync('pkcs11-tool', [...login, '--keypairgen', '--key-type', type, '--label', `k${id}`, '--id', id], quiet)

  const source = await openKey('pkcs11:token=adm;id=%01')
  assert.equal(source.uri, 'pkcs11:token=adm;id=%01')
  assert.equal((await openKey('pkcs11:token=adm;object=k01')).key, source.key)
  const signature = await source.sign(inContext(CONTEXT.policySet, BYTES))
  assert.ok(verifySignature(rawKeyOf(parsePeerKey(source.key)), CONTEXT.policySet, BYTES, signature))
  assert.equal((await source.sign(Buffer.alloc(1_024))).length, 64)
  await assert.rejects(source.sign(Buffer.alloc(1_025)), { code: ErrorCode.LimitExceeded })
  await assert.rejects(openKey('pkcs11:token=adm;id=%02'), { code: ErrorCode.Unsupported })
  await assert.rejects(openKey('pkcs11:token=adm;id=%03'), { code: ErrorCode.NotFound, reason: /object not found/ })
  await assert.rejects(openKey('pkcs11:token=other;id=%01'), { code: ErrorCode.NotFound })
  await assert.rejects(openKey(source.uri, '12D3KooWDCkhiKbX2e3NbV5sH3wcdkYPZjxQ28R5iun2PkBAKcMw'), {
    code: ErrorCode.NotFound,
    reason: /is not that of the admin/
  })
  writeFileSync(pins, '9999\n')
  const wrong = await openKey('pkcs11:token=adm;id=%01')
  await assert.rejects(wrong.sign(BYTES), { code: ErrorCode.PermissionDenied, reason: /CKR_PIN_INCORRECT/ })
})

test('where pkcs11-tool is missing, the error says what to install', async () => {
  const { PATH } = process.env
  process.env['PATH'] = '/nonexistent'
  try {
    await assert.rejects(openKey('pkcs11:token=adm;id=%01'), { code: ErrorCode.NotFound, hint: /apt install opensc/ })
  } finally {
    process.env['PATH'] = PATH
  }
})
