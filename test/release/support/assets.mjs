// Loaded before tools/release/start.mjs: the assets are the files that ASSETS names, and at its end the process says on
// descriptor 3 which of the modules V8 has refused to take as they were compiled.
import { readFileSync, writeSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import vm from 'node:vm'

const files = JSON.parse(process.env.ASSETS)
const { getBuiltinModule } = process
const { Script } = vm
const taken = {}

process.getBuiltinModule = name => (name === 'node:sea' ? { getRawAsset } : getBuiltinModule(name))
vm.Script = class extends Script {
  constructor(code, options) {
    super(code, options)
    taken[options.filename] = options.cachedData === undefined ? 'none' : this.cachedDataRejected ? 'refused' : 'taken'
  }
}
syncBuiltinESMExports()
process.on('exit', () => writeSync(3, JSON.stringify(taken)))

function getRawAsset(name) {
  return Uint8Array.from(readFileSync(files[name])).buffer
}
