import assert from 'node:assert/strict'
import test from 'node:test'
import { recordLine } from '../../src/cli/output/record-line.ts'

const line = (fields: string): string =>
  recordLine({
    name: 'flow-refused',
    at: '2026-01-01T00:00:00.000Z',
    fields: JSON.parse(fields) as Record<string, unknown>
  })

test('a record of another host has a line, whatever its fields are', () => {
  assert.match(line('{"a":{"b":{"toString":1}}}'), /a="b:\{.*toString.*1\}"$/)
  assert.match(line('{"a":[[{"toString":1}],null,"x"]}'), /null,x/)
  assert.match(line('{"process":{"uid":0,"executable":"/sbin/init"}}'), / {2}process=uid:0,executable:\/sbin\/init$/)
})
