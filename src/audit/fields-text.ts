import type { EventFields, FlowFields, RecordFields, RecordName } from '../events/index.ts'

const MAX_FIELDS_LENGTH = 8_192
const MAX_CUT_TEXT = 256
const MAX_CUT_LIST = 16

/** The fields of a record, as JSON. Long texts and lists are shortened if it would be too long. */
export function fieldsText(name: RecordName, fields: RecordFields[RecordName]): string {
  const text = textOf(name, fields)
  if (text.length <= MAX_FIELDS_LENGTH) return text
  const cut = JSON.stringify(fields, shortened)
  return cut.length <= MAX_FIELDS_LENGTH ? cut : '{"cut":true}'
}

// A function that replaces values takes longer than all the rest, and only few records have a bigint: those throw without it.
function plainText(fields: object): string {
  try {
    return JSON.stringify(fields)
  } catch {
    return JSON.stringify(fields, plain)
  }
}

// Versions are counted in bigints, and stay far below what a number holds.
function plain(_name: string, value: unknown): unknown {
  return typeof value === 'bigint' ? Number(value) : value
}

function shortened(name: string, value: unknown): unknown {
  if (typeof value === 'string' && value.length > MAX_CUT_TEXT) return `${value.slice(0, MAX_CUT_TEXT)}…`
  return Array.isArray(value) ? value.slice(0, MAX_CUT_LIST) : plain(name, value)
}

function textOf(name: RecordName, fields: RecordFields[RecordName]): string {
  // Nearly all records are these two, and most flows of a host have their fields in common with one that was there before.
  if (name === 'flow-opened') return `${flowText(fields as FlowFields)}}`
  if (name !== 'flow-ended') return plainText(fields)
  const { reason, kind, bytesIn, bytesOut, durationMs } = fields as EventFields['flow-ended']
  const ended: Ended = { reason, kind, bytesIn, bytesOut, durationMs }
  return `${flowText(fields as FlowFields)},${JSON.stringify(ended).slice(1)}`
}

/** A field that a later program adds to these events does not compile until it is here; it has to be in `isSame` too. */
type Ended = Omit<EventFields['flow-ended'], keyof FlowFields>
type Common = Required<Omit<FlowFields, 'flowId'>>

interface Known {
  readonly fields: { readonly [F in keyof Common]: FlowFields[F] }
  readonly text: string
}

const MAX_KNOWN = 8
const known: Known[] = []
let next = 0

/** The fields of a flow as an object without its closing brace. */
function flowText(fields: FlowFields): string {
  return `{"flowId":${JSON.stringify(fields.flowId)}${commonText(fields)}`
}

function commonText(fields: FlowFields): string {
  for (const one of known) if (isSame(one.fields, fields)) return one.text
  const { direction, source, destination, protocol, carrier, rule, sourceProcess, destinationProcess } = fields
  const common = { direction, source, destination, protocol, carrier, rule, sourceProcess, destinationProcess }
  const made = { fields: common, text: `,${JSON.stringify(common).slice(1, -1)}` }
  known[next] = made
  next = (next + 1) % MAX_KNOWN
  return made.text
}

function isSame(one: Known['fields'], other: FlowFields): boolean {
  return (
    one.source === other.source &&
    one.destination === other.destination &&
    one.direction === other.direction &&
    one.protocol === other.protocol &&
    one.carrier === other.carrier &&
    one.rule === other.rule &&
    // One object for each registration, as long as it lives.
    one.sourceProcess === other.sourceProcess &&
    one.destinationProcess === other.destinationProcess
  )
}
