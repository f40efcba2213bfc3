import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { toPem } from '../../src/identity/index.ts'
import { Domain, leafOf, NOW_MS, TRUST_DOMAIN } from './domain.ts'

const ID = `spiffe://${TRUST_DOMAIN}/dev/web/nginx/default/a`
const openssl = (() => {
  try {
    return execFileSync('openssl', ['version'], { encoding: 'utf8' })
  } catch {
    return undefined
  }
})()

test('openssl accepts the chain of a workload', {
  skip: openssl === undefined && 'openssl is not installed'
}, async t => {
  const directory = mkdtempSync(join(tmpdir(), 'warren-openssl-'))
  t.after(() => rmSync(directory, { recursive: true }))
  const domain = await Domain.create()
  const host = await domain.host('a')
  const [node, authority, root] = host.chain.map(toPem)
  const file = (name: string, content: string): string => {
    const path = join(directory, name)
    writeFileSync(path, content)
    return path
  }
  const leaf = file('leaf.pem', toPem(await leafOf(host, ID)))
  const args = ['-CAfile', file('root.pem', root ?? ''), '-untrusted', file('chain.pem', `${node}${authority}`)]
  for (const purpose of ['sslserver', 'sslclient']) {
    const strict = ['verify', '-x509_strict', '-attime', String(NOW_MS / 1_000), '-purpose', purpose]
    assert.match(execFileSync('openssl', [...strict, ...args, leaf], { encoding: 'utf8' }), /: OK/)
  }
})

test('a workload certificate is an X.509-SVID by the rules of SPIFFE', async () => {
  const domain = await Domain.create()
  const host = await domain.host('a')
  const leaf = new X509Certificate(await leafOf(host, ID))
  // https://github.com/spiffe/spiffe/blob/main/standards/X509-SVID.md sections 2 and 4
  assert.equal(leaf.subjectAltName, `URI:${ID}`)
  assert.equal(leaf.ca, false)
  assert.deepEqual(leaf.keyUsage?.toSorted(), ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2'])
  assert.ok(ID.length <= 2_048)
  const serial = BigInt(`0x${leaf.serialNumber}`)
  assert.ok(serial > 0n && serial < 1n << 159n)
  for (const der of host.chain) {
    const ca = new X509Certificate(der)
    assert.equal(ca.ca, true)
    assert.equal(ca.subjectAltName, `URI:spiffe://${TRUST_DOMAIN}`)
  }
})
