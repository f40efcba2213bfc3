import assert from 'node:assert/strict'
import test from 'node:test'
import type { MessageStream } from '@libp2p/interface'
import { LengthPrefixedDecoder } from '@libp2p/utils'
import { quietDecoder } from '../../src/mesh/libp2p-shims/quiet-decoder.ts'

const HEADER = 2

function connection() {
  const made: Error[] = []
  const lengthDecoder = (bytes: { readonly byteLength: number; subarray(from: number, to: number): Uint8Array }) => {
    if (bytes.byteLength < HEADER) {
      made.push(new RangeError('too short'))
      throw made.at(-1)
    }
    return Buffer.from(bytes.subarray(0, HEADER)).readUInt16BE()
  }
  const decoder = new LengthPrefixedDecoder({ lengthDecoder, encodingLength: () => HEADER })
  return { made, connection: { decoder } as unknown as MessageStream, decoder }
}

test('what arrives in any pieces is read as it was sent, and no error is made at the end of a piece', () => {
  const { made, connection: plain, decoder } = connection()
  quietDecoder(plain)
  const sent = Buffer.from([0, 1, 7, 0, 2, 8, 9, 0, 3, 1, 2, 3])
  for (const size of [1, 2, 3, 5, sent.length]) {
    const read: number[][] = []
    for (let at = 0; at < sent.length; at += size) {
      for (const message of decoder.decode(sent.subarray(at, at + size))) read.push([...message.subarray()])
    }
    assert.deepEqual(read, [[7], [8, 9], [1, 2, 3]])
  }
  assert.equal(made.length, 0)
})

test('a connection that decodes in another way is left as it is', () => {
  const other = { decoder: { decode: () => [] } }
  assert.equal(quietDecoder(other as unknown as MessageStream) as unknown, other)
  assert.deepEqual(Object.keys(other.decoder), ['decode'])
})
