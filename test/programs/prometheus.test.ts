import assert from 'node:assert/strict'
import { cpSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { waitFor } from '../harness/index.ts'
import { needsPrograms, Stage } from './support/stage.ts'

const RULES = join(import.meta.dirname, '..', '..', 'packaging', 'prometheus', 'warren.rules.yaml')

interface Rule {
  readonly name: string
  readonly health: string
}

test('Prometheus scrapes an agent of another host through the mesh, and evaluates the alerts that warren has for it', async t => {
  if (!needsPrograms(t, 'prometheus', 'promtool', 'curl')) return
  const stage = await Stage.open(t)
  const { scope } = stage
  const directory = scope.directory()
  await stage.serverAgent.stop()
  await stage.serverAgent.start(['--no-mdns', '--metrics-listen', '127.0.0.1:9464'])
  await stage.forward('dev.ops.metrics.default', { tcp: 9464 })

  cpSync(RULES, join(directory, 'warren.rules.yaml'))
  await stage.onClient(['promtool', 'check', 'rules', join(directory, 'warren.rules.yaml')])
  const config = {
    global: { scrape_interval: '1s', evaluation_interval: '1s' },
    rule_files: ['warren.rules.yaml'],
    scrape_configs: [{ job_name: 'warren', static_configs: [{ targets: ['127.0.0.1:9464'] }] }]
  }
  writeFileSync(join(directory, 'prometheus.yaml'), JSON.stringify(config))
  const prometheus = stage.run(stage.client, [
    'prometheus',
    `--config.file=${join(directory, 'prometheus.yaml')}`,
    `--storage.tsdb.path=${join(directory, 'data')}`,
    '--web.listen-address=127.0.0.1:9090'
  ])
  scope.defer(() => prometheus.stop())
  await prometheus.says(/Server is ready/, 'stderr')
  const ask = async (path: string): Promise<unknown> => {
    const { stdout } = await stage.onClient(['curl', '-sfg', `http://127.0.0.1:9090/api/v1/${path}`])
    return (JSON.parse(stdout) as { readonly data: unknown }).data
  }
  const series = async (query: string): Promise<ReadonlyArray<{ readonly value: readonly [number, string] }>> =>
    ((await ask(`query?query=${query}`)) as { result: Array<{ value: [number, string] }> }).result
  await waitFor(
    async () => (await series('warren_members{state="connected"}'))[0]?.value[1] === '1',
    'Prometheus to have scraped the agent'
  )
  assert.equal((await series('up{job="warren"}'))[0]?.value[1], '1')
  let rules: Rule[] = []
  await waitFor(async () => {
    const { groups } = (await ask('rules')) as { readonly groups: ReadonlyArray<{ readonly rules: Rule[] }> }
    rules = groups.flatMap(group => group.rules)
    return rules.length > 5 && rules.every(({ health }) => health !== 'unknown')
  }, 'every rule to have been evaluated')
  assert.deepEqual([...new Set(rules.map(({ health }) => health))], ['ok'])
})
