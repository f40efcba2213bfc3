import assert from 'node:assert/strict'
import test from 'node:test'
import { encodeObservationQuestion } from '../../src/cluster/observations/observation.ts'
import { makeReplyKey } from '../../src/cluster/observations/seal.ts'
import { asksAboutOwn } from '../../src/cluster/own-questions.ts'
import { generatePeerKeyPair, peerKeyOf, rawPublicKey } from '../../src/identity/index.ts'
import { apiPb } from '../../src/wire/index.ts'
import { mesh, Time } from '../registry/world.ts'

test('a host asks by its own key about a connection that it has an end of, and about nothing else', () => {
  const [here, there] = mesh(new Time(), 'a', 'b')
  assert(here !== undefined && there !== undefined)
  there.put('site')
  here.pull(there)
  const reply = makeReplyKey()
  const ask = (source: string, destination: string, requester = there.peer): boolean => {
    const value = { source, destination, protocol: apiPb.Protocol.TCP }
    const content = encodeObservationQuestion({ case: 'explain', value } as never, reply)
    return asksAboutOwn(here.state, { kind: 'observation', content, requester })
  }
  const SITE = 'dev.web.site.default'
  // Its own destination, from anywhere; its own machine as the source.
  assert.equal(ask('dev.x.y.z.c', SITE), true)
  assert.equal(ask('dev.x.y.z.b', 'dev.web.other.default'), true)
  assert.equal(ask('dev.x.y.z.c', 'dev.web.other.default.b'), true)
  // None of its own.
  assert.equal(ask('dev.x.y.z.c', 'dev.web.other.default'), false)
  assert.equal(ask('dev.x.y.z.c', `${SITE}.c`), false)
  assert.equal(ask('dev.x.y.z.c', SITE, here.peer), false)
  // A list of what others have.
  assert.equal(ask('dev.x.y.z.b', 'dev.web.*.default'), false)
  assert.equal(ask('dev.*.y.z.b', SITE), false)
  assert.equal(ask('dev.x.y.z.b', 'dev.{web,shop}.site.default'), false)
  assert.equal(ask('nonsense', SITE), false)
  // No member, another kind, another question.
  assert.equal(ask('dev.x.y.z.b', SITE, peerKeyOf(rawPublicKey(generatePeerKeyPair()))), false)
  const flows = encodeObservationQuestion({ case: 'flows', value: {} }, reply)
  assert.equal(asksAboutOwn(here.state, { kind: 'observation', content: flows, requester: there.peer }), false)
  assert.equal(asksAboutOwn(here.state, { kind: 'receipt', content: flows, requester: there.peer }), false)
})
