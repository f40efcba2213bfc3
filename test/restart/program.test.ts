import assert from 'node:assert/strict'
import { chmodSync, copyFileSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { openHandover, Restart } from '../../src/restart/index.ts'
import { checkProgram, otherProgram, ownProgram } from '../../src/restart/program.ts'
import { asRoot, scopeOf } from '../harness/index.ts'

test('a file that others can change is no program for an agent', t => {
  const scope = scopeOf(t)
  const directory = scope.directory()
  const file = join(directory, 'program')
  writeFileSync(file, '#!/bin/sh\nexit 0\n', { mode: 0o755 })
  assert.equal(otherProgram(file).file, file)
  chmodSync(file, 0o777)
  assert.throws(() => otherProgram(file), {
    code: 'PERMISSION_DENIED',
    message: /program can be changed by users besides/
  })
  chmodSync(file, 0o755)
  const open = join(directory, 'open')
  mkdirSync(open)
  chmodSync(open, 0o777)
  copyFileSync(file, join(open, 'program'))
  // Whatever leads there.
  const link = join(directory, 'link')
  symlinkSync(join(open, 'program'), link)
  for (const path of [join(open, 'program'), link])
    assert.throws(() => otherProgram(path), { code: 'PERMISSION_DENIED' })
  for (const path of ['program', directory, join(directory, 'none')]) {
    assert.throws(() => otherProgram(path), { code: 'INVALID_ARGUMENT' })
  }
})

test('only root names the program of an agent with capabilities', asRoot, async () => {
  const handover = await openHandover({})
  if (handover === undefined) throw new Error('a process cannot be replaced here')
  const restart = new Restart(handover, {})
  await assert.rejects(restart.begin('/bin/true', { uid: 1000 }), { code: 'PERMISSION_DENIED' })
  assert.equal(restart.isAsked, false)
})

test('a program that does not check itself is refused, with what it says', async t => {
  const file = join(scopeOf(t).directory(), 'program')
  const write = (text: string): void => writeFileSync(file, text, { mode: 0o755 })
  const check = () => checkProgram(otherProgram(file), process.env)
  write('#!/bin/sh\necho "error: unknown option --check" >&2\nexit 2\n')
  await assert.rejects(check(), { code: 'UNSUPPORTED', message: /cannot take over: error: unknown option --check/ })
  write('#!/bin/sh\nexit 3\n')
  await assert.rejects(check(), {
    code: 'UNSUPPORTED',
    message: /cannot take over: it ended with code 3 and said nothing$/
  })
  write('#!/bin/sh\necho hello\n')
  await assert.rejects(check(), { code: 'UNSUPPORTED', message: /does not answer as warren/ })
  write('no program at all')
  await assert.rejects(check(), { code: 'INVALID_ARGUMENT', message: /is no program/ })
  write('#!/bin/sh\n[ "$*" = "$*" ] && echo \'{"version":"9.9.9"}\'\n')
  assert.equal(await check(), '9.9.9')
})

test('the arguments of a first start are not repeated', () => {
  const { argv } = process
  process.argv = [...argv.slice(0, 2), 'up', '--init', 'example.org', '--join=wj1', '--name', 'a', '--join', '-']
  try {
    assert.deepEqual(ownProgram().argv.slice(-3), ['up', '--name', 'a'])
  } finally {
    process.argv = argv
  }
})
