import assert from 'node:assert/strict'
import test from 'node:test'
import { fieldsText } from '../../src/audit/fields-text.ts'
import type { FlowFields } from '../../src/events/index.ts'
import { FLOW } from './support.ts'

const TEXTS = ['dev.web.site.default.a', '', 'a "b" \\ \n é 日本 🐇 \ud800 \u2028', 'direct fastpath'] as const
const PROCESSES = [
  undefined,
  { uid: 0, pid: 1 },
  { uid: 1000, pid: 77, executable: '/usr/bin/"x"' },
  { uid: 1000, pid: 77, executable: undefined },
  { uid: 1000, pid: 78, executable: '/usr/bin/y' }
] as const

/** More flows than are remembered, each with something of its own. */
function flows(): FlowFields[] {
  return Array.from({ length: 240 }, (_, at) => ({
    flowId: TEXTS[at % 3] === '' ? '' : `f${at}${TEXTS[2]}`,
    direction: (['inbound', 'outbound', 'local'] as const)[at % 3] ?? 'local',
    source: TEXTS[at % 4] ?? '',
    destination: TEXTS[Math.floor(at / 4) % 4] ?? '',
    protocol: at % 7 === 0 ? 'udp' : 'tcp',
    carrier: TEXTS[Math.floor(at / 16) % 4] ?? '',
    rule: at % 5 === 0 ? '' : `r${at % 5}`,
    sourceProcess: PROCESSES[at % 5],
    destinationProcess: PROCESSES[Math.floor(at / 5) % 5]
  }))
}

test('the text of a flow is that of its fields, whatever flows were there before', () => {
  for (const flow of [...flows(), ...flows().reverse(), FLOW, FLOW]) {
    const ended = { ...flow, reason: 'ended', kind: 'ended', bytesIn: 0, bytesOut: 2 ** 52, durationMs: 0.5 }
    assert.equal(fieldsText('flow-opened', flow), JSON.stringify(flow))
    assert.equal(fieldsText('flow-ended', ended), JSON.stringify(ended))
  }
})

test('a flow whose fields are too long is shortened as any other record', () => {
  const long = { ...FLOW, source: 'x'.repeat(9_000) }
  const fields = JSON.parse(fieldsText('flow-opened', long)) as FlowFields
  assert.equal(fields.source, `${'x'.repeat(256)}…`)
  assert.equal(fields.destination, FLOW.destination)
})
