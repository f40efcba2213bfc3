import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { mentionedNames } from '../../src/cli/run/names/index.ts'

test('a command mentions a name in its arguments, its environment, or a file that an argument names, and nowhere else', t => {
  const directory = mkdtempSync(join(tmpdir(), 'mentions-'))
  t.after(() => rmSync(directory, { recursive: true }))
  const script = join(directory, 'app.py')
  writeFileSync(script, `connect('db.script.warren')\n${' '.repeat(300_000)}'db.late.warren'\n`)
  const fifo = join(directory, 'fifo')
  execFileSync('mkfifo', [fifo])
  const cases: [string[], NodeJS.ProcessEnv, string[]][] = [
    [['psql', '-h', 'db.main.warren'], {}, ['db.main.warren']],
    [['psql', 'postgres://me@DB.Main.warren:5432/x'], {}, ['db.main.warren']],
    [
      ['sh', '-c', 'a dev.db.main.default.b.warren.; b db.two.warren'],
      {},
      ['dev.db.main.default.b.warren', 'db.two.warren']
    ],
    [['app'], { DATABASE_URL: 'mysql://db.main.warren/x', EMPTY: undefined }, ['db.main.warren']],
    [['python3', script], {}, ['db.script.warren']],
    [['app', `--config=${script}`], {}, ['db.script.warren']],
    [['app', 'main.warren', 'warren', 'db.main.warren.example.org', 'x-db.main.warren-x', 'a.b.warrens'], {}, []],
    // Neither a pipe, which would be emptied, nor what is not there.
    [['app', fifo, directory, join(directory, 'missing'), ''], {}, []]
  ]
  for (const [argv, env, names] of cases) assert.deepEqual([...mentionedNames(argv, env)], names, argv.join(' '))
  const many = Array.from({ length: 100 }, (_, index) => `db.n${index}.warren`)
  assert.equal(mentionedNames(many, {}).size, 64)
  const again = Array.from({ length: 100 }, () => 'db.same.warren')
  assert.equal(mentionedNames([...again, ...many], {}).size, 64)
})
