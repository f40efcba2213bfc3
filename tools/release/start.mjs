// The main module of the executable: it compiles each of the modules that modules.ts packed when it is required. What an agent
// executes at its start has been compiled before (compiled.ts).
//
// An ES module: Node looks for the compiled code of a CommonJS main module in the directory that NODE_COMPILE_CACHE names,
// and executes what it finds there. What is executed here comes from the executable alone.
import { Script } from 'node:vm'

const { getRawAsset } = process.getBuiltinModule('node:sea')
const bytes = Buffer.from(getRawAsset('modules'))
const codeAt = bytes.indexOf(10) + 1
const table = JSON.parse(bytes.latin1Slice(0, codeAt))
const compiled = Buffer.from(getRawAsset('compiled'))
const compiledAt = compiled.indexOf(10) + 1
const [builtins, both, commands, agent] = JSON.parse(compiled.latin1Slice(0, compiledAt))
// By number of the module: where its compiled code is.
const ranges = new Map()
let end = 0
for (const [number, length] of [...both, ...commands, ...agent]) {
  ranges.set(number, [end, end + length])
  end += length
}
const modules = []
const namespaces = []
const unpacked = new Map()

function load(number) {
  const known = modules[number]
  if (known !== undefined) return known.exports
  const [filename, offset, length, imports, isCommonJs, part] = table[number]
  const module = { exports: {} }
  modules[number] = module
  try {
    const code = codeOf(offset, length, part)
    // V8 compiles the code where the compiled one is not for it, as with other flags.
    const run = new Script(code, { filename, cachedData: compiledOf(number) }).runInThisContext()
    run.call(module.exports, requireOf(imports, isCommonJs), module.exports, module)
  } catch (err) {
    // Whoever requires it again is to see the failure, and not half a module.
    modules[number] = undefined
    throw err
  }
  return module.exports
}

// What commands do not need is compressed, behind its length. With chunks of the usual size, as many small pieces of memory would
// stay with the process. It is kept until V8 collects it.
function unpack(name) {
  let content = unpacked.get(name)?.deref()
  if (content === undefined) {
    const asset = Buffer.from(getRawAsset(name))
    // One more, so that zlib sees that nothing is left. It refuses fewer than 64.
    const chunkSize = Math.max(asset.readUInt32LE() + 1, 64)
    content = process.getBuiltinModule('node:zlib').zstdDecompressSync(asset.subarray(4), { chunkSize })
    unpacked.set(name, new WeakRef(content))
  }
  return content
}

function codeOf(offset, length, part) {
  if (part === undefined) return bytes.latin1Slice(codeAt + offset, codeAt + offset + length)
  return unpack(part).latin1Slice(offset, offset + length)
}

function compiledOf(number) {
  const range = ranges.get(number)
  if (range === undefined) return undefined
  const [from, to] = range.map(at => at + compiledAt)
  if (to <= compiled.length) return compiled.subarray(from, to)
  return unpack('agentCompiled').subarray(from - compiled.length, to - compiled.length)
}

function requireOf(imports, isCommonJs) {
  return specifier => {
    const number = Object.hasOwn(imports, specifier) ? imports[specifier] : undefined
    if (number !== undefined) return isCommonJs || !table[number][4] ? load(number) : namespaceOf(number)
    const builtin = process.getBuiltinModule(specifier)
    if (builtin !== undefined) return builtin
    throw Object.assign(new Error(`${specifier} is not in this executable`), { code: 'MODULE_NOT_FOUND' })
  }
}

// An ES module that imports a CommonJS module has all that it exports as its default, also where it says `__esModule`.
function namespaceOf(number) {
  const exports = load(number)
  namespaces[number] ??= Object.defineProperties(Object.create(exports), {
    __esModule: { value: true },
    default: { value: exports, enumerable: true }
  })
  return namespaces[number]
}

// For src/core/start-code.ts: V8 takes compiled code, its own and that of Node, only while its flags are those of the start.
globalThis[Symbol.for('warren.loadStart')] = () => {
  for (const name of builtins) process.getBuiltinModule(name)
  for (const [number] of [...both, ...agent]) {
    try {
      load(number)
    } catch {
      // Whoever requires it sees the failure.
    }
  }
}
load(0)
