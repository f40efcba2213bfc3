import assert from 'node:assert/strict'
import { Writable } from 'node:stream'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { DatagramParser, datagramFraming, FrameWriter, MAX_DATAGRAM_BYTES } from '../../src/wire/index.ts'

const endOfTurn = (): Promise<void> => new Promise(resolve => setImmediate(() => setImmediate(resolve)))

/** A stream that keeps what is written, and takes it at once or never. */
function sink(takes = true) {
  const chunks: Buffer[] = []
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(chunk)
      if (takes) done()
    }
  })
  stream.on('error', () => {})
  return { chunks, stream, writer: new FrameWriter(stream, datagramFraming) }
}

function parsed(chunks: readonly Buffer[]): readonly string[] {
  const parser = new DatagramParser()
  const got: string[] = []
  for (const chunk of chunks) parser.push(chunk, payload => got.push(payload.toString('hex')))
  assert.equal(parser.isInside, false)
  return got
}

describe('frames of one turn', () => {
  it('are one write at its end', async () => {
    const { chunks, writer } = sink()
    const memory = Buffer.from('one')
    writer.send(memory)
    memory.write('two')
    writer.send(memory)
    assert.deepEqual(chunks, [])
    await endOfTurn()
    assert.deepEqual(chunks.map(String), ['\0\x03one\0\x03two'])
  })

  it('arrive whole and in order, whatever their sizes', async () => {
    const sizes = fc.array(fc.oneof({ weight: 8, arbitrary: fc.nat(2_000) }, fc.nat(MAX_DATAGRAM_BYTES)), {
      maxLength: 60
    })
    await fc.assert(
      fc.asyncProperty(fc.array(sizes, { maxLength: 3 }), async turns => {
        const { chunks, writer } = sink()
        const sent: string[] = []
        for (const turn of turns) {
          for (const [index, size] of turn.entries()) {
            const payload = Buffer.alloc(size, index)
            writer.send(payload)
            sent.push(payload.toString('hex'))
          }
          await endOfTurn()
        }
        assert.deepEqual(parsed(chunks), sent)
      }),
      { numRuns: 30 }
    )
  })

  it('leave before the end of the stream if flushed, and are dropped after it', async () => {
    const { chunks, stream, writer } = sink()
    writer.send(Buffer.from('last'))
    writer.flush()
    stream.end()
    writer.send(Buffer.from('late'))
    await endOfTurn()
    assert.deepEqual(chunks.map(String), ['\0\x04last'])
    assert.equal(stream.errored, null)
  })

  it('count as waiting until the stream has taken them', async () => {
    const { writer } = sink(false)
    writer.send(Buffer.alloc(100))
    assert.equal(writer.waitingBytes, 102)
    await endOfTurn()
    writer.send(Buffer.alloc(8))
    assert.equal(writer.waitingBytes, 112)
  })
})
