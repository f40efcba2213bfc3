import type { MetricDefinition } from '../../src/core/index.ts'

interface Panel {
  readonly [key: string]: unknown
}

const WIDTH = 24
const PANEL_WIDTH = 8
const PANEL_HEIGHT = 7
/** Rows, by what follows `warren_` in the names; the first that fits is taken. */
const ROWS: ReadonlyArray<readonly [title: string, parts: readonly string[]]> = [
  ['Flows', ['flow', 'datagram', 'endpoints', 'policy_decisions']],
  ['Sessions and certificates', ['session', 'handshake', 'certificate', 'renewal', 'fastpath', 'svid']],
  ['Hosts', ['member', 'mesh', 'probe', 'suspicion', 'join', 'eviction']],
  ['Registry and policy', ['registry', 'registration', 'replication', 'policy']],
  ['Limits and local API', ['limit', 'api', 'local', 'log']],
  ['Process', ['process', 'nodejs']],
  ['Others', ['']]
]

/** A dashboard for Grafana with a panel for each metric, in rows by subject. The host is chosen above. */
export function dashboardOf(metrics: Readonly<Record<string, MetricDefinition>>): object {
  const panels: Panel[] = []
  const left = new Set(Object.keys(metrics))
  let y = 0
  for (const [title, parts] of ROWS) {
    const names = [...left].filter(name => parts.some(part => name.startsWith(`warren_${part}`)))
    for (const name of names) left.delete(name)
    if (names.length === 0) continue
    panels.push({ id: panels.length + 1, type: 'row', title, gridPos: { x: 0, y, w: WIDTH, h: 1 } })
    y += 1
    for (const [at, name] of names.entries()) {
      const [x, line] = [(at * PANEL_WIDTH) % WIDTH, Math.floor((at * PANEL_WIDTH) / WIDTH)]
      const gridPos = { x, y: y + line * PANEL_HEIGHT, w: PANEL_WIDTH, h: PANEL_HEIGHT }
      panels.push({ id: panels.length + 1, ...panelOf(name, metrics[name] as MetricDefinition), gridPos })
    }
    y += Math.ceil((names.length * PANEL_WIDTH) / WIDTH) * PANEL_HEIGHT
  }
  return {
    uid: 'warren',
    title: 'warren',
    tags: ['warren'],
    schemaVersion: 39,
    refresh: '30s',
    time: { from: 'now-6h', to: 'now' },
    templating: {
      list: [
        { name: 'datasource', type: 'datasource', query: 'prometheus' },
        {
          name: 'instance',
          type: 'query',
          datasource: { type: 'prometheus', uid: '$datasource' },
          query: 'label_values(warren_members, instance)',
          refresh: 2,
          multi: true,
          includeAll: true
        }
      ]
    },
    panels
  }
}

function panelOf(name: string, { kind, help, labels }: MetricDefinition): Panel {
  const perSecond = kind === 'counter'
  const by = Object.keys(labels)
  const legendFormat = ['{{instance}}', ...by.map(label => `{{${label}}}`)].join(' ')
  const target = (expr: string, legend: string) => ({
    expr,
    legendFormat: legend,
    datasource: { type: 'prometheus', uid: '$datasource' }
  })
  const groups = ['instance', ...by].join(', ')
  const rate = (of: string) => `rate(${of}{instance=~"$instance"}[$__rate_interval])`
  const targets =
    kind === 'histogram'
      ? [0.5, 0.99].map(part =>
          target(
            `histogram_quantile(${part}, sum by (le, ${groups}) (${rate(`${name}_bucket`)}))`,
            `p${part * 100} ${legendFormat}`
          )
        )
      : [target(perSecond ? `sum by (${groups}) (${rate(name)})` : `${name}{instance=~"$instance"}`, legendFormat)]
  return {
    type: 'timeseries',
    title: name,
    description: help,
    datasource: { type: 'prometheus', uid: '$datasource' },
    fieldConfig: { defaults: { unit: unitOf(name, perSecond) }, overrides: [] },
    targets: targets.map((one, at) => ({ ...one, refId: String.fromCharCode(65 + at) }))
  }
}

function unitOf(name: string, perSecond: boolean): string {
  if (/_cpu_seconds_total$/.test(name)) return 'percentunit'
  if (/_bytes(_total)?$/.test(name)) return perSecond ? 'Bps' : 'bytes'
  if (/_seconds(_total)?$/.test(name)) return 's'
  return perSecond ? 'ops' : 'short'
}
