// Loaded before start.mjs by record-start.ts: the assets are files, and what has been executed is sent when it is asked for.
import { readFileSync } from 'node:fs'
import { Session } from 'node:inspector'

const files = JSON.parse(process.env.WARREN_ASSETS)
delete process.env.WARREN_ASSETS
const getBuiltinModule = process.getBuiltinModule
process.getBuiltinModule = name => (name === 'node:sea' ? { getRawAsset } : getBuiltinModule(name))

function getRawAsset(name) {
  return Uint8Array.from(readFileSync(files[name])).buffer
}

const session = new Session()
session.connect()
session.post('Profiler.enable')
session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: false })
process.on('message', () => {
  session.post('Profiler.takePreciseCoverage', (_err, { result }) => process.send(result))
})
process.channel.unref()
