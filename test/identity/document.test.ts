import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { canonicalText } from '../../src/cli/output/identity-document.ts'
import { canonicalDocument } from '../../src/identity/document.ts'
import { type IdentityDocument, registrationIdOf } from '../../src/identity/index.ts'
import { isInstalled } from '../harness/index.ts'

const PAGE = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'protocol', 'identity.md'), 'utf8')
const DOCUMENT: IdentityDocument = {
  spiffeId: 'spiffe://example.org/dev/web/nginx/default/node1',
  application: 'nginx "edge" é',
  scope: 'dev',
  pid: 4711,
  uid: 33,
  registeredAtMs: 1_767_225_600_000,
  machine: 'node1',
  whitelist: ['dev.shop.*.*', 'dev.{api,till}.*.*']
}
const SPELLED = { ...DOCUMENT, application: '"\\\b\t\n\f\r\u0000\u001f\u007f\u2028é😀/' }

/** What the command shows of a document, as the agent sends it. */
const sent = (document: IdentityDocument) => ({ ...document, whitelist: [...document.whitelist] })

test('the document and the id of the protocol page are what the code makes', () => {
  const [, text = '', id = ''] = /^ {4}(\["spiffe:.*\])\n[\s\S]*?^ {4}([0-9a-f]{64})$/m.exec(PAGE) ?? []
  assert.equal(canonicalDocument(DOCUMENT).toString(), text)
  assert.equal(createHash('sha256').update(text).digest('hex'), id)
  assert.equal(registrationIdOf(DOCUMENT), id)
})

test('what warren inspect hashes is what the agent hashed, whatever the characters', () => {
  for (const document of [DOCUMENT, SPELLED]) {
    assert.equal(canonicalText(sent(document)), canonicalDocument(document).toString())
  }
})

test('each of the eight values changes the id', () => {
  const others: IdentityDocument[] = [
    { ...DOCUMENT, spiffeId: `${DOCUMENT.spiffeId}x` },
    { ...DOCUMENT, application: '' },
    { ...DOCUMENT, scope: 'prod' },
    { ...DOCUMENT, pid: 4712 },
    { ...DOCUMENT, uid: 34 },
    { ...DOCUMENT, registeredAtMs: DOCUMENT.registeredAtMs + 1 },
    { ...DOCUMENT, machine: 'node2' },
    { ...DOCUMENT, whitelist: [...DOCUMENT.whitelist].reverse() },
    // Nor can a border between values be moved.
    { ...DOCUMENT, application: 'nginx "edge" é","dev', scope: '' }
  ]
  assert.equal(new Set([DOCUMENT, ...others].map(registrationIdOf)).size, others.length + 1)
})

test('another language computes the same id by the words of the protocol page', {
  skip: !isInstalled('python3') && 'python3 is not installed'
}, () => {
  const program = `
import hashlib, json, sys
values = json.load(sys.stdin)
print(hashlib.sha256(json.dumps(values, ensure_ascii=False, separators=(',', ':')).encode()).hexdigest())`
  for (const document of [DOCUMENT, SPELLED]) {
    // Every character escaped, so that nothing of the form that is hashed reaches the other side.
    const input = canonicalDocument(document)
      .toString()
      .replace(/[\u007f-\uffff]/g, unit => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
    assert.equal(execFileSync('python3', ['-c', program], { input }).toString().trim(), registrationIdOf(document))
  }
})
