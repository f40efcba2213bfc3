import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { LineSink } from '../../src/core/index.ts'
import { waitFor } from '../harness/index.ts'

/** A sink that takes as many bytes as it has room for. */
class Reader {
  room = 0
  failure = 'EAGAIN'
  text = ''

  readonly take = (bytes: Uint8Array): number => {
    const taken = bytes.subarray(0, this.room)
    if (taken.length === 0) throw Object.assign(new Error(this.failure), { code: this.failure })
    this.room -= taken.length
    this.text += Buffer.from(taken).toString()
    return taken.length
  }
}

function sinkOf(reader: Reader): LineSink {
  const lines = new LineSink(reader.take, 20)
  lines.notice = dropped => `${dropped} dropped\n`
  return lines
}

describe('a line', () => {
  it('is out when the call returns if its reader keeps up', () => {
    const reader = new Reader()
    const lines = sinkOf(reader)
    reader.room = 1_000
    for (const text of ['one\n', '', 'two\n']) lines.write(text)
    assert.equal(reader.text, 'one\ntwo\n')
    assert.equal(lines.dropped, 0)
  })

  it('is kept whole for a reader that stands still, and beyond the bound is dropped and counted in its place', async () => {
    const reader = new Reader()
    const lines = sinkOf(reader)
    reader.room = 6
    for (let number = 0; number < 10; number += 1) lines.write(`line ${number}\n`)
    assert.equal(reader.text, 'line 0')
    assert.equal(lines.dropped, 7)
    reader.room = 1_000
    await waitFor(() => reader.text.includes('dropped'), 'the count')
    lines.write('later\n')
    assert.equal(reader.text, 'line 0\nline 1\nline 2\n7 dropped\nlater\n')
    assert.equal(lines.dropped, 7)
  })

  it('that failed for another reason is tried again with the next', () => {
    const reader = new Reader()
    const lines = sinkOf(reader)
    reader.failure = 'ENOSPC'
    lines.write('one\n')
    reader.room = 1_000
    lines.write('two\n')
    assert.equal(reader.text, 'one\ntwo\n')
  })

  it('does not keep a process from its end if nobody reads it', async () => {
    const reader = new Reader()
    const lines = sinkOf(reader)
    lines.write('one\n')
    await lines.flush(1)
    reader.failure = 'EPIPE'
    await lines.flush(3_600_000)
    reader.room = 1_000
    await lines.flush(3_600_000)
    assert.equal(reader.text, 'one\n')
  })
})
