import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { OpenEncoder, type PooledOpen, readOpen } from '../../src/proxy/fastpath/open-message.ts'
import { RecordRequests } from '../../src/proxy/inbound/flow-asked.ts'
import { create, proxyPb, toBinary } from '../../src/wire/index.ts'

const ID = 'a'.repeat(64)
const DESTINATION = 'dev.web.site.default.a'
const IDS = [ID, 'b'.repeat(64)]
const DESTINATIONS = [DESTINATION, 'dev.web.shop.default.b']
const hex = fc.stringMatching(/^[0-9a-f]{16}$/)
const open: fc.Arbitrary<PooledOpen> = fc.record({
  registrationId: fc.constantFrom(...IDS),
  destination: fc.constantFrom(...DESTINATIONS),
  flowId: hex
})

function encoded(open: Partial<PooledOpen>): Buffer {
  return Buffer.from(toBinary(proxyPb.FlowOpenSchema, create(proxyPb.FlowOpenSchema, open)))
}

test('requests that follow one another are each encoded as if alone, with names of any length', () => {
  const any = fc.record({
    registrationId: fc.constantFrom(...IDS),
    destination: fc.constantFrom(...DESTINATIONS),
    flowId: fc.oneof(hex, fc.stringMatching(/^[0-9a-f]{0,3}$/))
  })
  fc.assert(
    fc.property(fc.array(any), opens => {
      const encoder = new OpenEncoder()
      for (const one of opens) assert.deepEqual(Buffer.from(encoder.encode(one)), encoded(one))
    })
  )
})

test('requests that follow one another are each read as if alone', () => {
  fc.assert(
    fc.property(fc.array(open), opens => {
      const requests = new RecordRequests()
      for (const one of opens) {
        const { registrationId, address, protocol, flowId } = requests.read(encoded(one))
        const destination = Object.values(address).join('.')
        assert.deepEqual({ registrationId, destination, flowId, protocol }, { ...one, protocol: 'tcp' })
      }
    })
  )
})

test('whatever follows a request is read, or refused, as if alone', () => {
  const bytes = (content: Buffer): fc.Arbitrary<Buffer> =>
    fc.tuple(fc.nat(content.length - 1), fc.nat(255)).map(([at, value]) => {
      const other = Buffer.from(content)
      other[at] = value
      return other
    })
  const read = (requests: RecordRequests, content: Buffer): unknown => {
    try {
      return requests.read(content)
    } catch {
      return 'refused'
    }
  }
  const first = encoded({ registrationId: ID, destination: DESTINATION, flowId: 'f'.repeat(16) })
  fc.assert(
    fc.property(bytes(first), other => {
      const requests = new RecordRequests()
      requests.read(first)
      const [after, alone] = [read(requests, other), read(new RecordRequests(), other)]
      // A name that is none is replaced by one of our own, or refused where it is no text.
      const isName = /^[0-9a-f]{16}$/.test(other.toString('latin1', other.length - 16))
      if (isName) assert.deepEqual(after, alone)
    })
  )
})

test('a request without a name, or with one elsewhere than at its end, gets the names that its bytes say', () => {
  const requests = new RecordRequests()
  const unnamed = encoded({ registrationId: ID, destination: DESTINATION })
  const names = [unnamed, unnamed].map(content => requests.read(content).flowId)
  assert.equal(new Set(names).size, 2)
  const name = encoded({ flowId: '0'.repeat(16) })
  const early = Buffer.concat([name, unnamed])
  assert.equal(requests.read(early).flowId, '0'.repeat(16))
  assert.equal(requests.read(early).flowId, '0'.repeat(16))
  assert.equal(readOpen(early).destination, DESTINATION)
})
