import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { parse } from 'yaml'
import { asRoot, Program, scopeOf, TestAgent, WARREN, waitFor } from '../harness/index.ts'
import { askToJoin, outcomeOf } from './support/joining-host.ts'

/** Twenty agents in one machine take it over for half a minute: `npm run test:fleet`. */
const HOSTS = process.env['TEST_FLEET'] === 'yes' ? 20 : 4
/** They all begin at once, on a machine that may be busy. */
const LIMIT_MS = 100_000

const PAGE = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'fleets.md'), 'utf8')
const RECIPES = [...PAGE.matchAll(/```yaml\n([^`]+)```/g)].map(([, yaml = '']) => parse(yaml) as unknown)

/** The file that the cloud-init recipe of docs/fleets.md writes on each host. */
function cloudInit(token: string): string {
  const { write_files: files } = RECIPES[0] as { write_files: ReadonlyArray<{ content: string }> }
  return (files[0]?.content ?? '').replace('TOKEN=TOKEN', `TOKEN=${token}`)
}

interface Task {
  readonly 'ansible.builtin.command'?: string
  readonly 'ansible.builtin.copy'?: { readonly content: string }
}

const [PLAY] = RECIPES[1] as [{ readonly tasks: readonly Task[] }]

/** What Ansible puts in place of the variables of its recipe. */
function filled(text: string | undefined, variables: Readonly<Record<string, string>>): string {
  return (text ?? '').replaceAll(/\{\{ (.+?) \}\}/g, (_whole, name: string) => variables[name] ?? `no value of ${name}`)
}

/** The file that the recipe for Ansible writes on a host. */
function ansible(token: string, host: string): string {
  const content = PLAY.tasks.map(task => task['ansible.builtin.copy']?.content).find(text => text !== undefined)
  return filled(content, { 'token.stdout': token, inventory_hostname_short: host })
}

/** The options of the token that this recipe makes, for so many hosts. */
function ansibleToken(count: number): string[] {
  const [command] = PLAY.tasks.flatMap(task => task['ansible.builtin.command'] ?? [])
  const [warren, ...args] = filled(command, { "groups['web'] | length": String(count) }).split(' ')
  assert.equal(warren, 'warren')
  return args.map(word => word.replaceAll("'", ''))
}

/** As systemd reads an EnvironmentFile. */
function variablesOf(file: string): Record<string, string> {
  const lines = file.split('\n').filter(line => line.includes('='))
  return Object.fromEntries(lines.map(line => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]))
}

test(
  'a fleet comes up unattended by one token, as cloud-init and Ansible start them, and the next host learns why it does not',
  asRoot,
  async t => {
    const scope = scopeOf(t)
    const a = await new TestAgent(scope, { name: 'a', args: [] }).start(['--init', 'example.org'])
    const token = (await a.cli(...ansibleToken(HOSTS))).trim()
    const directory = scope.directory()
    const begin = (index: number): Program => {
      const home = join(directory, String(index))
      mkdirSync(home)
      const file = index % 2 === 0 ? cloudInit(token) : ansible(token, `web-${index}`)
      writeFileSync(join(home, 'warren.env'), file)
      const here = {
        WARREN_STATE_DIR: join(home, 's'),
        WARREN_RUNTIME_DIR: join(home, 'r'),
        WARREN_LISTEN: '127.0.0.1:0',
        WARREN_DATA_LISTEN: '127.0.0.1:0',
        WARREN_ADVERTISE: '127.0.0.1',
        WARREN_NO_MDNS: 'true',
        WARREN_DRAIN_TIMEOUT: '0s'
      }
      const command = 'hostname "$0" && exec "$@"'
      const argv = [
        'unshare',
        '--uts',
        '/bin/sh',
        '-c',
        command,
        `web-${index}.example.com`,
        process.execPath,
        WARREN,
        'up'
      ]
      return new Program(scope, argv, {
        env: { ...variablesOf(readFileSync(join(home, 'warren.env'), 'utf8')), ...here }
      })
    }
    const startedMs = performance.now()
    const hosts = Array.from({ length: HOSTS }, (_, index) => begin(index))
    const sinceMs = (): number => Math.round(performance.now() - startedMs)
    const admitted = (): number => a.program.stderr.match(/"msg":"host admitted"/g)?.length ?? 0
    await waitFor(() => admitted() >= HOSTS, 'all hosts to be admitted', LIMIT_MS)
    t.diagnostic(`${HOSTS} hosts were admitted after ${sinceMs()} ms`)
    await waitFor(() => hosts.every(host => /ready in/.test(host.stderr)), 'all hosts to be ready', LIMIT_MS)
    t.diagnostic(`${HOSTS} hosts were ready after ${sinceMs()} ms`)
    const [shown] = (
      JSON.parse(await a.cli('token', 'list', '--json')) as { tokens: Array<{ used: number; state: string }> }
    ).tokens
    assert.deepEqual([shown?.used, shown?.state], [HOSTS, 'used'])
    let refused = ''
    // An authority whose machine starts a fleet may not answer in time; a host asks again then.
    await waitFor(
      async () => {
        refused = await outcomeOf(askToJoin(token, `web-${HOSTS}`))
        return !refused.startsWith('JOIN_FAILED')
      },
      'an answer to one host too many',
      LIMIT_MS
    )
    assert.match(
      refused,
      new RegExp(`TOKEN_REFUSED: the token was already used ${HOSTS} times, which is all of its uses`)
    )
    for (const host of hosts) assert.doesNotMatch(host.stderr, new RegExp(token.slice(0, 60)))
  }
)

const TWENTY = 20

test('twenty hosts that ask at the same instant are all admitted', async t => {
  const scope = scopeOf(t)
  const a = await new TestAgent(scope, { name: 'a', args: [] }).start(['--init', 'example.org'])
  const token = (await a.cli('token', 'create', '--name', 'web-*', '--uses', String(TWENTY))).trim()
  const startedMs = performance.now()
  const outcomes = await Promise.all(
    Array.from({ length: TWENTY }, (_, at) => outcomeOf(askToJoin(token, `web-${at}`)))
  )
  t.diagnostic(`${TWENTY} hosts were admitted after ${Math.round(performance.now() - startedMs)} ms`)
  assert.deepEqual(
    outcomes,
    Array.from({ length: TWENTY }, (_, at) => `web-${at}`)
  )
})
