// Writes the manual into out/man: `npm run man`, then `man out/man/warren-up.1`. `--out DIR` chooses another directory.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { manPages } from '../release/man-pages.ts'
import { run } from '../release/run.ts'

const root = resolve(import.meta.dirname, '..', '..')
const { values } = parseArgs({ options: { out: { type: 'string', default: join(root, 'out', 'man') } } })
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { readonly version: string }
const epochSeconds = Number(
  process.env['SOURCE_DATE_EPOCH'] ?? run('git', ['log', '-1', '--format=%ct'], { cwd: root })
)
const out = resolve(values.out)
mkdirSync(out, { recursive: true })
const pages = manPages({ version, epochSeconds })
for (const { path, bytes } of pages) writeFileSync(join(out, basename(path)), bytes)
process.stdout.write(`${pages.length} pages in ${out}\n`)
