import 'reflect-metadata'
import assert from 'node:assert/strict'
import { createPublicKey, X509Certificate } from 'node:crypto'
import test from 'node:test'
import * as x509 from '@peculiar/x509'
import fc from 'fast-check'
import { type Extensions, readExtensions } from '../../src/identity/certificate/extensions.ts'
import { provenKey, requestFor } from '../../src/identity/certificate/request.ts'
import { bitString, integer, oid, sequence, text, time } from '../../src/identity/der-writer.ts'
import { generateSigningKeyPair, issueRoot, LIFETIME_MS } from '../../src/identity/index.ts'
import { Domain, leafOf, TRUST_DOMAIN } from './domain.ts'
import { foreign } from './foreign-ca.ts'

const ID = `spiffe://${TRUST_DOMAIN}/dev/web/nginx/default/a`
const TEXT_NAMES = ['dns', 'email', 'url']

/** What another implementation reads in the same certificate. */
function asOthersRead(der: Uint8Array): Extensions {
  const parsed = new x509.X509Certificate(Uint8Array.from(der))
  const types = parsed.extensions.map(({ type }) => type)
  const usages = parsed.getExtension(x509.ExtendedKeyUsageExtension)?.usages
  const names = parsed.getExtension(x509.SubjectAlternativeNameExtension)?.names.items
  const constraints = parsed.getExtension(x509.BasicConstraintsExtension)
  return {
    basicConstraints: constraints === null ? undefined : { ca: constraints.ca, pathLength: constraints.pathLength },
    keyUsage: parsed.getExtension(x509.KeyUsagesExtension)?.usages,
    extendedKeyUsage: usages === undefined ? undefined : Array.from(usages, String),
    names: Array.from(names ?? [], ({ type, value }) => ({ type, value })),
    binding: undefined,
    unknownCritical: [...parsed.extensions]
      .filter(({ critical, type }) => critical && type === '1.2.3.4')
      .map(e => e.type),
    repeatedExtension: new Set(types).size !== types.length
  }
}

function comparable({ names, ...rest }: Extensions): unknown {
  return { ...rest, names: names.filter(({ type }) => TEXT_NAMES.includes(type)) }
}

test('an extension means the same here and to another implementation', async () => {
  const ca = await foreign({ subject: 'CN=ca', ca: true, pathLength: 200 })
  const leaf = await foreign({
    subject: 'CN=leaf',
    issuer: ca,
    dns: ['a.example.org', '*.example.org'],
    uri: ['spiffe://example.org/x', 'https://example.org/?q=1'],
    usage: x509.KeyUsageFlags.digitalSignature | x509.KeyUsageFlags.keyAgreement | x509.KeyUsageFlags.decipherOnly,
    extended: ['1.3.6.1.5.5.7.3.2', '2.5.29.37.0', '1.3.6.1.4.1.311.20.2.2'],
    unknownCritical: true
  })
  for (const { der } of [ca, leaf]) assert.deepEqual(comparable(readExtensions(der)), comparable(asOthersRead(der)))
  const host = await (await Domain.create()).host('a')
  const workload = await leafOf(host, ID)
  assert.deepEqual(readExtensions(workload), asOthersRead(workload))
  const [node = workload] = host.chain
  const { binding, ...rest } = readExtensions(node)
  assert.deepEqual({ ...rest, binding: undefined }, asOthersRead(node))
  assert.ok((binding?.length ?? 0) > 64)
})

test('a byte that was changed is refused, or means the same to another implementation', async () => {
  const { der } = await foreign({
    subject: 'CN=leaf',
    dns: ['a.example.org'],
    uri: ['spiffe://example.org/x'],
    extended: ['1.3.6.1.5.5.7.3.2']
  })
  const begin = Buffer.from(der).indexOf(oid('2.5.29.19'))
  let accepted = 0
  fc.assert(
    fc.property(fc.integer({ min: begin, max: der.length - 80 }), fc.integer({ min: 0, max: 255 }), (at, value) => {
      const changed = Uint8Array.from(der)
      changed[at] = value
      let own: Extensions
      let other: Extensions
      try {
        own = readExtensions(changed)
        other = asOthersRead(changed)
      } catch {
        return
      }
      accepted += 1
      const { unknownCritical: _own, ...mine } = own
      const { unknownCritical: _other, ...theirs } = other
      assert.deepEqual(comparable({ ...mine, unknownCritical: [] }), comparable({ ...theirs, unknownCritical: [] }))
    }),
    { numRuns: 500 }
  )
  assert.ok(accepted > 25, `${accepted} accepted`)
})

test('a root has a positive serial number of 16 bytes, and dates in whole seconds, also after 2049', async () => {
  const key = generateSigningKeyPair()
  const nowMs = Date.UTC(2045, 1, 3, 4, 5, 6, 789)
  const root = new X509Certificate(await issueRoot({ trustDomain: TRUST_DOMAIN, key, nowMs }))
  assert.match(root.serialNumber, /^[4-7][0-9A-F]{31}$/)
  assert.equal(root.validFromDate.toISOString(), '2045-02-03T04:04:06.000Z')
  assert.equal(root.validToDate.getTime(), Math.floor((nowMs + LIFETIME_MS.root) / 1_000) * 1_000)
  assert.equal(root.subject, `CN=warren root\nO=${TRUST_DOMAIN}`)
  assert.ok(root.checkIssued(root) && root.verify(createPublicKey(key)))
})

test('another implementation reads a request and verifies it, and theirs is accepted here', async () => {
  const key = generateSigningKeyPair()
  const own = new x509.Pkcs10CertificateRequest(Uint8Array.from(await requestFor('a', key)))
  assert.equal(own.subject, 'CN=a')
  assert.ok(await own.verify())
  const P256 = { name: 'ECDSA', namedCurve: 'P-256' }
  const theirs = await x509.Pkcs10CertificateRequestGenerator.create({
    name: 'CN=a',
    keys: {
      privateKey: key.toCryptoKey(P256, true, ['sign']),
      publicKey: createPublicKey(key).toCryptoKey(P256, true, ['verify'])
    },
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' }
  })
  assert.ok((await provenKey(new Uint8Array(theirs.rawData))).equals(createPublicKey(key)))
})

test('a request whose signature is by another key, or over other bytes, proves nothing', async () => {
  const csr = await requestFor('a', generateSigningKeyPair())
  const changed = Uint8Array.from(csr)
  const name = Buffer.from(changed).indexOf(text('a')) + 2
  changed[name] = 0x62
  await assert.rejects(provenKey(changed), { code: 'CERTIFICATE_REFUSED' })
  const other = await requestFor('a', generateSigningKeyPair())
  const end = csr.length - 40
  await assert.rejects(provenKey(Uint8Array.from([...csr.subarray(0, end), ...other.subarray(end)])), {
    code: 'CERTIFICATE_REFUSED'
  })
})

test('DER is written in its one form', () => {
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
  assert.equal(hex(oid('1.2.840.113556.1.8000.2554')), '060b2a864886f71401be40937a')
  assert.equal(hex(integer(Buffer.from([0x80]))), '02020080')
  assert.equal(hex(bitString(Buffer.from([6]), 1)), '03020106')
  assert.equal(hex(sequence(Buffer.alloc(200))).slice(0, 6), '3081c8')
  assert.equal(hex(sequence(Buffer.alloc(300))).slice(0, 8), '3082012c')
  assert.equal(hex(text('a_b')), '0c03615f62')
  assert.equal(Buffer.from(time(Date.UTC(2049, 11, 31, 23, 59, 59, 999))).toString('latin1', 2), '491231235959Z')
  assert.equal(Buffer.from(time(Date.UTC(2050, 0, 1))).toString('latin1', 2), '20500101000000Z')
})
