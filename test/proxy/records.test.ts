import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { aes256Gcm } from '../../src/proxy/aead/index.ts'
import { nodeCrypto } from '../../src/proxy/aead/node-crypto.ts'
import {
  decodePreamble,
  encodePreamble,
  Kind,
  MAX_CONTENT_BYTES,
  PREAMBLE_BYTES,
  RECORD_OVERHEAD_BYTES
} from '../../src/proxy/fastpath/format.ts'
import { RecordConnection } from '../../src/proxy/fastpath/record-connection.ts'
import { RecordReader, RecordViolation } from '../../src/proxy/fastpath/record-reader.ts'
import { RecordWriter } from '../../src/proxy/fastpath/record-writer.ts'

/** As a TLS exporter: other bytes for each label and context. */
const exporter = (bytes: number, label: string, context: Buffer): Buffer =>
  createHash('shake256', { outputLength: bytes }).update(label).update(context).digest()
const name = { sender: 'client', streamId: 7, salt: Buffer.alloc(16, 1) } as const
const HELLO = { kind: Kind.Hello, content: Buffer.alloc(0) }

interface Written {
  readonly kind: Kind
  readonly content: Buffer
}

function seal(records: readonly Written[], writer = new RecordWriter(exporter, name)): Buffer {
  return Buffer.concat(
    records.map(({ kind, content }) => {
      const out = Buffer.alloc(content.length + 20)
      return out.subarray(0, writer.write(kind, content, out))
    })
  )
}

/** What a reader makes of pieces: data as one, the other records by kind. */
function read(pieces: readonly Buffer[], reader = new RecordReader(exporter, name)): { data: Buffer; kinds: Kind[] } {
  const kinds: Kind[] = []
  const data = pieces.map(piece => {
    const out = Buffer.alloc(MAX_CONTENT_BYTES + piece.length + 20)
    return out.subarray(
      0,
      reader.read(piece, out, kind => kinds.push(kind))
    )
  })
  return { data: Buffer.concat(data), kinds }
}

/** Cuts `bytes` at the given places. */
function cutAt(bytes: Buffer, places: readonly number[]): Buffer[] {
  const sorted = [0, ...places.map(place => place % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]
  return sorted.slice(1).map((end, index) => bytes.subarray(sorted[index], end))
}

const contents = fc.array(fc.uint8Array({ maxLength: 2_000 }), { maxLength: 12 })
const data = (content: Uint8Array): Written => ({ kind: Kind.Data, content: Buffer.from(content) })

describe('a record that was sent', () => {
  it('is opened again by its sender, after later ones, another key and the end of the connection', () => {
    const writer = new RecordWriter(exporter, name, undefined, 2)
    const contents = ['a', 'bc', '', 'def', 'ghij'].map(text => Buffer.from(text))
    const sent = contents.map(content => {
      const record = Buffer.alloc(content.length + RECORD_OVERHEAD_BYTES)
      writer.write(Kind.Data, content, record)
      return { content, record, reopen: writer.reopen() }
    })
    writer.close()
    for (const { content, record, reopen } of sent) assert.deepEqual(reopen(record), content)
  })

  it('is refused if its memory has changed', () => {
    const writer = new RecordWriter(exporter, name)
    const record = Buffer.alloc(5 + RECORD_OVERHEAD_BYTES)
    writer.write(Kind.Data, Buffer.from('hello'), record)
    const reopen = writer.reopen()
    for (let at = 0; at < record.length; at += 1) {
      const changed = Buffer.from(record)
      changed[at] = (changed[at] ?? 0) ^ 1
      assert.throws(() => reopen(changed), /has changed/)
    }
  })
})

describe('the records of a fast-path connection', () => {
  it('are read as they were written, however the network cuts them up', () => {
    fc.assert(
      fc.property(contents, fc.array(fc.nat(), { maxLength: 20 }), (contents, places) => {
        const sealed = seal([HELLO, ...contents.map(data), { kind: Kind.End, content: Buffer.alloc(0) }])
        const got = read(cutAt(sealed, places))
        assert.deepEqual(got.data, Buffer.concat(contents))
        assert.deepEqual(got.kinds, [Kind.Hello, Kind.End])
      })
    )
  })

  it('change keys after so many, at both ends at once, with either code for the cipher', () => {
    const messages = Array.from({ length: 50 }, (_, index) => data(Buffer.from(`message ${index}`)))
    for (const [seals, opens] of [
      [aes256Gcm(), nodeCrypto],
      [nodeCrypto, aes256Gcm()]
    ] as const) {
      const sealed = seal([HELLO, ...messages], new RecordWriter(exporter, name, seals, 4))
      const got = read(cutAt(sealed, [100, 333, 700]), new RecordReader(exporter, name, opens, 4))
      assert.deepEqual(got.data, Buffer.concat(messages.map(({ content }) => content)))
    }
  })

  it('that have one flipped bit give nothing from there on', () => {
    fc.assert(
      fc.property(contents, fc.nat(), fc.array(fc.nat(), { maxLength: 5 }), (contents, bit, places) => {
        // The last has contents, so that what is missing shows, also where the bit makes that very record wait for more.
        const all = [...contents, Buffer.from('last')]
        const sealed = seal([HELLO, ...all.map(data)])
        const at = bit % (sealed.length * 8)
        sealed[at >> 3] = sealed[at >> 3]! ^ (1 << (at & 7))
        const reader = new RecordReader(exporter, name)
        const out = Buffer.alloc(MAX_CONTENT_BYTES + sealed.length + 20)
        let got = Buffer.alloc(0)
        for (const piece of cutAt(sealed, places)) {
          try {
            got = Buffer.concat([
              got,
              out.subarray(
                0,
                reader.read(piece, out, () => {})
              )
            ])
          } catch (err) {
            assert.ok(err instanceof RecordViolation)
            break
          }
        }
        const whole = Buffer.concat(all)
        assert.deepEqual(got, whole.subarray(0, got.length))
        // A length that became larger is not refused before so much has come; until then nothing is given.
        assert.ok(got.length < whole.length)
      })
    )
  })

  it('cannot be repeated, left out, swapped, or sent back', () => {
    const [hello, one, two] = ['', 'one', 'two'].map((text, index) => {
      const writer = new RecordWriter(exporter, name)
      const before = Array.from({ length: index }, (_, at) => (at === 0 ? HELLO : data(Buffer.from('one'))))
      const skipped = seal(before, writer).length
      assert.ok(skipped >= 0)
      return seal([index === 0 ? HELLO : data(Buffer.from(text))], writer)
    })
    const refuse = (...pieces: readonly (Buffer | undefined)[]): void => {
      assert.throws(() => read(pieces as Buffer[]), RecordViolation)
    }
    assert.equal(read([hello!, one!, two!]).data.toString(), 'onetwo')
    refuse(hello, one, one)
    refuse(hello, two)
    refuse(hello, two, one)
    refuse(hello, hello)
    const other = new RecordReader(exporter, { ...name, sender: 'server' })
    assert.throws(() => read([hello!], other), RecordViolation)
    for (const changed of [{ streamId: 8 }, { salt: Buffer.alloc(16, 2) }]) {
      assert.throws(() => read([hello!], new RecordReader(exporter, { ...name, ...changed })), RecordViolation)
    }
  })

  it('take no memory before the keys are proved, and none for a length that may not be', () => {
    const header = (kind: number, size: number): Buffer => {
      const bytes = Buffer.alloc(4)
      bytes.writeUInt32BE(kind * 2 ** 24 + size)
      return bytes
    }
    const fresh = (): RecordReader => new RecordReader(exporter, name)
    assert.throws(() => read([header(Kind.Data, 1)], fresh()), RecordViolation)
    const proved = (): RecordReader => {
      const reader = fresh()
      read([seal([HELLO])], reader)
      return reader
    }
    assert.throws(() => read([header(Kind.Data, MAX_CONTENT_BYTES + 1)], proved()), RecordViolation)
    assert.throws(() => read([header(0, 0)], proved()), RecordViolation)
    assert.throws(() => read([header(Kind.End, 1)], proved()), RecordViolation)
    assert.throws(() => read([header(Kind.Start, 7)], proved()), RecordViolation)
  })

  it('are no larger than a reader takes, and are not written where they do not fit', () => {
    const writer = new RecordWriter(exporter, name)
    assert.throws(() => writer.write(Kind.Data, Buffer.alloc(MAX_CONTENT_BYTES + 1), Buffer.alloc(300_000)), RangeError)
    assert.throws(() => writer.write(Kind.Data, Buffer.alloc(10), Buffer.alloc(29)), RangeError)
    const largest = data(Buffer.alloc(MAX_CONTENT_BYTES, 5))
    assert.deepEqual(read([seal([HELLO, largest, largest])]).data, Buffer.alloc(2 * MAX_CONTENT_BYTES, 5))
  })

  it('have an order: a fast-path connection ends at the first that is out of it', () => {
    const start = { kind: Kind.Start, content: Buffer.alloc(8) }
    const end = { kind: Kind.End, content: Buffer.alloc(0) }
    const stay = { kind: Kind.Stay, content: Buffer.alloc(0) }
    const bad: readonly (readonly Written[])[] = [
      [start],
      [HELLO, HELLO],
      [HELLO, data(Buffer.from('x'))],
      [HELLO, end],
      [HELLO, start, start],
      [HELLO, start, data(Buffer.from('x')), start],
      [HELLO, start, end, data(Buffer.from('x'))],
      [HELLO, start, end, end],
      [HELLO, stay, data(Buffer.from('x'))]
    ]
    for (const records of bad) {
      for (const together of [true, false]) {
        const heard: string[] = []
        const writer = new RecordWriter(exporter, name)
        const connection = new RecordConnection(
          { writer: new RecordWriter(exporter, name), reader: new RecordReader(exporter, name) },
          { end: 'other', isPooled: false },
          {
            data: (_bytes, done) => {
              done()
              return true
            },
            closed: err => heard.push(err.constructor.name)
          }
        )
        const pieces = records.map(record => seal([record], writer))
        for (const piece of together ? [Buffer.concat(pieces)] : pieces) connection.received(piece)
        assert.deepEqual(heard, ['RecordViolation'], records.map(({ kind }) => kind).join())
        assert.ok(connection.isClosed)
      }
    }
  })
})

describe('the preamble of a fast-path connection', () => {
  it('is read as it was written, with its version, and no other length or first byte is', () => {
    const preamble = { version: 1, sessionTag: Buffer.alloc(16, 3), streamId: 4_000_000_001, salt: Buffer.alloc(16, 4) }
    const bytes = encodePreamble(preamble)
    assert.equal(bytes.length, PREAMBLE_BYTES)
    assert.deepEqual(decodePreamble(bytes), preamble)
    assert.equal(decodePreamble(bytes.subarray(1)), undefined)
    const other = Buffer.from(bytes)
    other[0] = other[0]! ^ 1
    assert.equal(decodePreamble(other), undefined)
    assert.equal(decodePreamble(encodePreamble({ ...preamble, version: 2 }))?.version, 2)
  })
})
