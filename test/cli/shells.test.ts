import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { inTerminal, needsCommand, Program, type Scope, scopeOf, WARREN } from '../harness/index.ts'
import { fakeApi } from './fake-api.ts'

const SERVICES = [
  'dev.web.site.default.m1',
  'dev.web.site.default.m2',
  'dev.web.search.default.m1',
  'prod.web.x.default.m1'
]

interface Prompt {
  readonly scope: Scope
  readonly home: string
  readonly env: Readonly<Record<string, string | undefined>>
}

/** What a shell needs: a command `warren`, an agent that it finds, and a home without anybody's settings. */
async function prompt(t: TestContext): Promise<Prompt> {
  const { runtimeDir } = await fakeApi(t, {
    workload: {
      listServices: async () => ({ services: SERVICES.map(address => ({ address, protocols: [1], machine: 'm1' })) })
    },
    admin: { listMembers: async () => ({ members: [{ machine: 'm1' }, { machine: 'm2' }, { machine: 'x$(id)' }] }) }
  })
  const scope = scopeOf(t)
  const home = scope.directory()
  mkdirSync(join(home, 'bin'))
  const command = join(home, 'bin', 'warren')
  writeFileSync(command, `#!/bin/sh\nexec '${process.execPath}' --disable-sigusr1 '${WARREN}' "$@"\n`)
  chmodSync(command, 0o755)
  mkdirSync(join(home, 'settings'))
  writeFileSync(join(home, 'settings', 'one.yaml'), '')
  const path = `${join(home, 'bin')}:${process.env['PATH'] ?? ''}`
  const env = { HOME: home, PATH: path, WARREN_RUNTIME_DIR: runtimeDir, TERM: 'dumb', HISTFILE: undefined, LC_ALL: 'C' }
  return { scope, home, env }
}

/** Lines with a tab after them, and what the shell makes of them. */
const LINES: ReadonlyArray<readonly [typed: string, completed: string]> = [
  ['warren sta', 'warren status '],
  ['warren token cr', 'warren token create '],
  ['warren up --oversi', 'warren up --oversize '],
  ['warren up --oversize c', 'warren up --oversize capsule '],
  ['warren up --oversize=c', 'warren up --oversize=capsule '],
  ['warren connect pro', 'warren connect prod.web.x.default '],
  ['warren connect dev.web.si', 'warren connect dev.web.site.default '],
  ['warren connect x --as=pro', 'warren connect x --as=prod.web.x.default '],
  // Both begin so, and neither is chosen.
  ['warren connect dev.web.site.default.', 'warren connect dev.web.site.default.m'],
  ['warren forward --listen 127.0.0.1:9090 pro', 'warren forward --listen 127.0.0.1:9090 prod.web.x.default '],
  ['warren up --config settings/o', 'warren up --config settings/one.yaml '],
  ['warren up --config=settings/o', 'warren up --config=settings/one.yaml '],
  ['warren up --state-dir sett', 'warren up --state-dir settings/'],
  ['warren evict x', 'warren evict x'],
  ['warren status ', 'warren status ']
]

test('bash completes commands, options, values, addresses, machines and paths', async t => {
  if (!needsCommand(t, 'script')) return
  const { scope, home, env } = await prompt(t)
  const shell = inTerminal(scope, ['bash', '--norc', '--noprofile', '-i'], { cwd: home, env })
  shell.stdin.write("PS1='$ '; bind 'set enable-bracketed-paste off'; . <(warren completion bash); echo loaded$((1))\n")
  await shell.says(/^loaded1/m)
  for (const [at, [typed, completed]] of LINES.entries()) {
    // The line goes to printf, and not to warren, once it is completed.
    shell.stdin.write(`${typed}\t<'\u0001printf '${at} is <%s>\\n' '\n`)
    const [, line] = await shell.says(new RegExp(`^${at} is <(.*)<>\\r?$`, 'm'))
    assert.equal(line, completed)
  }
})

test('zsh completes commands, options, values, addresses, machines and paths', async t => {
  if (!needsCommand(t, 'script') || !needsCommand(t, 'zsh')) return
  const { scope, home, env } = await prompt(t)
  const shell = inTerminal(scope, ['zsh', '-f', '-i'], { cwd: home, env })
  shell.stdin.write(
    "PS1='$ '; unsetopt zle_bracketed_paste PROMPT_SP; bindkey -e; autoload -U compinit; compinit -u -D\n"
  )
  shell.stdin.write('source <(warren completion zsh); echo loaded$((1))\n')
  await shell.says(/^loaded1/m)
  for (const [at, [typed, completed]] of LINES.entries()) {
    shell.stdin.write(`${typed}\t<'\u0001printf '${at} is <%s>\\n' '\n`)
    const [, line] = await shell.says(new RegExp(`^${at} is <(.*)<>\\r?$`, 'm'))
    assert.equal(line, completed)
  }
})

test('zsh finds the script in its search path', async t => {
  if (!needsCommand(t, 'script') || !needsCommand(t, 'zsh')) return
  const { scope, home, env } = await prompt(t)
  const shell = inTerminal(scope, ['zsh', '-f', '-i'], { cwd: home, env })
  shell.stdin.write("PS1='$ '; mkdir f; warren completion zsh > f/_warren; fpath=($PWD/f $fpath); bindkey -e\n")
  shell.stdin.write('autoload -U compinit; compinit -u -D; echo loaded$((1))\n')
  await shell.says(/^loaded1/m)
  shell.stdin.write(`warren sta\t<'\u0001printf 'it is <%s>\\n' '\n`)
  await shell.says(/^it is <warren status <>/m)
})

test('fish completes commands, options, values, addresses, machines and paths', async t => {
  if (!needsCommand(t, 'fish')) return
  const { scope, home, env } = await prompt(t)
  const ask = LINES.map(([typed], at) => `echo ${at} is; complete --do-complete '${typed}'`)
  const script = ['warren completion fish | source', ...ask].join('\n')
  const fish = new Program(scope, ['fish', '--no-config', '--command', script], { cwd: home, env })
  fish.stdin.end()
  const { code, stdout, stderr } = await fish.outcome()
  assert.deepEqual([code, stderr], [0, ''])
  const answers = stdout.split(/^\d+ is\n/m).slice(1)
  assert.equal(answers.length, LINES.length)
  for (const [at, [typed, completed]] of LINES.entries()) {
    const words = (answers[at] ?? '').split('\n').map(line => line.split('\t')[0] ?? '')
    const found = words.filter(word => word !== '')
    const last = typed.split(' ').at(-1) ?? ''
    if (completed === typed) assert.deepEqual(found, [], typed)
    else {
      const wanted = completed.trimEnd().split(' ').at(-1) ?? ''
      assert.ok(found.length > 0 && found.every(word => word.startsWith(last)), typed)
      assert.ok(found.includes(wanted) || found.every(word => word.startsWith(wanted)), `${typed}: ${found}`)
    }
  }
})
