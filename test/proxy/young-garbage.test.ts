import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import test from 'node:test'

const MODULE = join(import.meta.dirname, '..', '..', 'src', 'proxy', 'legs', 'young-garbage.ts')

test('bytes that pass set no flags of V8 until the collector was asked for, and do from then on', () => {
  const script = `
    import v8 from 'node:v8'
    import { syncBuiltinESMExports } from 'node:module'
    const flags = []
    v8.setFlagsFromString = flag => flags.push(flag)
    syncBuiltinESMExports()
    const { countYoungGarbage, collectYoungGarbage } = await import(${JSON.stringify(MODULE)})
    countYoungGarbage(64 * 1024 * 1024)
    const before = [...flags]
    collectYoungGarbage()
    countYoungGarbage(64 * 1024 * 1024)
    console.log(JSON.stringify({ before, flags }))`
  const text = execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' })
  const { before, flags } = JSON.parse(text)
  assert.deepEqual(before, [])
  assert.deepEqual(flags, ['--expose-gc', '--no-expose-gc', '--heap-growing-percent=150'])
})
