import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { test } from 'node:test'
import { build } from 'esbuild'
import { requiredBuiltins } from '../../tools/required-builtins.ts'

const PROGRAM = `
import { Agent, createServer } from 'node:http'
import * as http from 'node:http'
const loads = process.moduleLoadList.some(name => name.includes('undici'))
console.log(typeof createServer, new Agent() instanceof http.Agent, loads)`

// The client for fetch of Node was a twelfth of the processor time in which an agent is loaded.
test('what is bundled has the HTTP of Node without its client for fetch', async () => {
  const { outputFiles } = await build({
    stdin: { contents: PROGRAM },
    banner: { js: "import { createRequire } from 'node:module'\nconst require = createRequire(import.meta.url)" },
    bundle: true,
    write: false,
    format: 'esm',
    platform: 'node',
    plugins: [requiredBuiltins()]
  })
  const args = ['--input-type=module', '-e', outputFiles[0]?.text ?? '']
  assert.equal(execFileSync(process.execPath, args, { encoding: 'utf8' }), 'function true false\n')
})
