import assert from 'node:assert/strict'
import { execFile, execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { promisify } from 'node:util'
import { ErrorCode } from '../../src/core/index.ts'
import { needsCommand, scopeOf } from '../harness/index.ts'
import { ACTORS, CLIENTS, OFFLINE } from './languages.ts'

const scope = scopeOf({ after: fn => after(fn as () => Promise<void>) })
const PYTHON = join(CLIENTS, 'python')
const GO = join(CLIENTS, 'go')
const CODES: readonly string[] = Object.values(ErrorCode).sort()

test('the libraries know every code of the agent', () => {
  const python = readFileSync(join(PYTHON, 'warren', 'errors.py'), 'utf8')
  const go = readFileSync(join(GO, 'errors.go'), 'utf8')
  assert.deepEqual([...python.matchAll(/^ {4}([A-Z_]+) = "\1"$/gm)].map(([, code]) => code).sort(), CODES)
  assert.deepEqual([...go.matchAll(/^\t\w+ +Code = "([A-Z_]+)"$/gm)].map(([, code]) => code).sort(), CODES)
  const listed = /var codes = map\[Code\]bool\{([^}]*)\}/.exec(go)?.[1] ?? ''
  assert.equal(listed.match(/: true/g)?.length, CODES.length)
})

test('the library of Python compiles, and imports the standard library alone', t => {
  if (!needsCommand(t, 'python3')) return
  const env = { ...process.env, PYTHONPYCACHEPREFIX: scope.directory() }
  const folders = [join(PYTHON, 'warren'), ACTORS]
  execFileSync('python3', ['-W', 'error', '-m', 'compileall', '-q', ...folders], { env })
  const foreign = `
import ast, pathlib, sys
for path in pathlib.Path(sys.argv[1]).glob("*.py"):
    for node in ast.walk(ast.parse(path.read_text())):
        names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            names.append(node.module)
        for name in names:
            if name.split(".")[0] not in sys.stdlib_module_names:
                print(path.name, name)
`
  const args = ['-c', foreign, join(PYTHON, 'warren')]
  assert.equal(execFileSync('python3', args, { env, encoding: 'utf8' }), '')
})

test('the library of Go depends on no module', () => {
  assert.doesNotMatch(readFileSync(join(GO, 'go.mod'), 'utf8'), /require/)
  assert.equal(readdirSync(GO).includes('go.sum'), false)
})

test('the sources of Go are formatted, and vet finds nothing', async t => {
  if (!needsCommand(t, 'go') || !needsCommand(t, 'gofmt')) return
  const run = promisify(execFile)
  assert.equal((await run('gofmt', ['-l', GO, join(ACTORS, 'go')])).stdout, '')
  for (const cwd of [GO, join(ACTORS, 'go')]) {
    await run('go', ['vet', './...'], { cwd, env: { ...process.env, ...OFFLINE } })
  }
})
