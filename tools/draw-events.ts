// Writes the table of docs/events.md that says who gets which field from other hosts. With --check it fails if the table is not current.
import { readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { EVENTS, type EventName, FIELD_READERS, type MeshReader, meshReaderOf } from '../src/events/index.ts'

const [BEGIN, END] = ['<!-- fields for other hosts: begin -->', '<!-- fields for other hosts: end -->']
const COLUMNS: ReadonlyArray<readonly [MeshReader, string]> = [
  ['observer', 'for owners and observers'],
  ['owner', 'for owners'],
  ['host', 'for nobody']
]

/** What other hosts can ask for: records of the audit log, and what is remembered. */
const ASKED = (Object.keys(EVENTS) as EventName[]).filter(
  name => EVENTS[name].isAudited || EVENTS[name].retention === 'day'
)

const path = join(resolve(import.meta.dirname, '..'), 'docs', 'events.md')
const page = readFileSync(path, 'utf8')
const [from, to] = [page.indexOf(BEGIN), page.indexOf(END)]
if (from < 0 || to < from) throw new Error(`${path} has no place for the table`)
const text = `${page.slice(0, from)}${BEGIN}\n\n${table()}\n\n${page.slice(to)}`
if (!process.argv.includes('--check')) writeFileSync(path, text)
else if (text !== page) {
  process.stderr.write(`${path} is not what src/events/readers.ts says\nrun \`npm run draw\` and commit the result\n`)
  process.exitCode = 1
} else process.stdout.write('the table of fields for other hosts is current\n')

function table(): string {
  const rows = ASKED.map(name => {
    const fields = Object.entries<MeshReader>(FIELD_READERS[name])
    const cells = COLUMNS.map(([reader]) => {
      const names = fields.flatMap(([field, who]) => (who === reader ? [`\`${field}\``] : []))
      return names.length === 0 ? '-' : names.join(', ')
    })
    const who = meshReaderOf(name) === 'owner' ? 'owners' : 'owners, observers'
    return `| \`${name}\` | ${who} | ${cells.join(' | ')} |`
  })
  const titles = COLUMNS.map(([, title]) => title)
  return [`| event | shown to | ${titles.join(' | ')} |`, `|${'---|'.repeat(COLUMNS.length + 2)}`, ...rows].join('\n')
}
