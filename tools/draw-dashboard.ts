// Writes packaging/grafana/warren.json from the table of metrics. With --check it fails if that file is not current.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { METRICS } from '../src/core/index.ts'
import { dashboardOf } from './monitoring/dashboard.ts'

const path = join(resolve(import.meta.dirname, '..'), 'packaging', 'grafana', 'warren.json')
const text = `${JSON.stringify(dashboardOf(METRICS), null, 1)}\n`
if (!process.argv.includes('--check')) {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, text)
} else if (readFileSync(path, 'utf8') !== text) {
  process.stderr.write(`${path} is not what the metrics say\nrun \`npm run draw\` and commit the result\n`)
  process.exitCode = 1
} else process.stdout.write('the dashboard is current\n')
