import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { parse } from 'yaml'
import { METRICS } from '../../src/core/index.ts'

const PACKAGING = join(import.meta.dirname, '..', '..', 'packaging')
const SERIES = /\b(warren_[a-z0-9_]+)(?:\{([^}]*)\})?/g
/** Of Prometheus itself, on every series. */
const OF_SCRAPER = ['instance', 'job', 'le']

interface Rules {
  readonly groups: ReadonlyArray<{ readonly rules: ReadonlyArray<{ readonly alert: string; readonly expr: string }> }>
}

/** What an expression names that the table of metrics does not have. */
function unknownIn(expr: string): string[] {
  const found: string[] = []
  for (const [, series = '', matchers = ''] of expr.matchAll(SERIES)) {
    const name = series in METRICS ? series : series.replace(/_(bucket|sum|count)$/, '')
    const metric = METRICS[name as keyof typeof METRICS]
    if (metric === undefined || (name !== series && metric.kind !== 'histogram')) {
      found.push(series)
      continue
    }
    const labels: Readonly<Record<string, readonly string[]>> = metric.labels
    for (const [, label = '', operator, value = ''] of matchers.matchAll(/(\w+)(=~|!=|=)"([^"]*)"/g)) {
      if (OF_SCRAPER.includes(label)) continue
      if (labels[label] === undefined || (operator !== '=~' && !labels[label].includes(value))) {
        found.push(`${series}{${label}="${value}"}`)
      }
    }
  }
  return found
}

test('every alert names metrics, labels and values that exist', () => {
  const { groups } = parse(readFileSync(join(PACKAGING, 'prometheus', 'warren.rules.yaml'), 'utf8')) as Rules
  const rules = groups.flatMap(group => group.rules)
  assert.ok(rules.length > 5)
  for (const { alert, expr } of rules) assert.deepEqual(unknownIn(expr), [], alert)
  assert.deepEqual(unknownIn('rate(warren_flows_lost_total[5m]) + warren_members{state="asleep"} + warren_flows_sum'), [
    'warren_flows_lost_total',
    'warren_members{state="asleep"}',
    'warren_flows_sum'
  ])
})

test('the dashboard has a panel for each metric, and no other', () => {
  const { panels } = JSON.parse(readFileSync(join(PACKAGING, 'grafana', 'warren.json'), 'utf8')) as {
    readonly panels: ReadonlyArray<{
      readonly title: string
      readonly targets?: ReadonlyArray<{ readonly expr: string }>
    }>
  }
  const shown = panels.filter(({ targets }) => targets !== undefined)
  assert.deepEqual(shown.map(({ title }) => title).sort(), Object.keys(METRICS).sort())
  for (const { title, targets = [] } of shown)
    for (const { expr } of targets) assert.deepEqual(unknownIn(expr), [], title)
})
