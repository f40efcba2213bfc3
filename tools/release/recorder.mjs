// Loaded before start.mjs by record-start.ts: the assets are files, and what has been executed is written to a file when the
// process is asked for it, or else when it ends.
import { readFileSync, writeFileSync } from 'node:fs'
import { Session } from 'node:inspector'
import { isBuiltin } from 'node:module'

const { files, out } = JSON.parse(process.env.WARREN_RECORD)
delete process.env.WARREN_RECORD
const getBuiltinModule = process.getBuiltinModule
process.getBuiltinModule = name => (name === 'node:sea' ? { getRawAsset } : getBuiltinModule(name))

function getRawAsset(name) {
  return Uint8Array.from(readFileSync(files[name])).buffer
}

const session = new Session()
let isWritten = false
session.connect()
session.post('Profiler.enable')
session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: false })
process.on('message', () => {
  write()
  process.send('written')
})
process.on('exit', write)
process.channel.unref()

function write() {
  if (isWritten) return
  isWritten = true
  const loaded = process.moduleLoadList.map(entry => entry.replace('NativeModule ', 'node:'))
  // That one is loaded by this file.
  const builtins = loaded.filter(name => isBuiltin(name) && name !== 'node:inspector')
  // It is there when this returns.
  session.post('Profiler.takePreciseCoverage', (_err, { result }) => {
    writeFileSync(out, JSON.stringify({ scripts: result.sort((a, b) => a.scriptId - b.scriptId), builtins }))
  })
}
