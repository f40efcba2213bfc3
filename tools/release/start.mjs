// The main module of the executable: it compiles each of the modules that modules.ts packed when it is required. What the
// commands and an agent need at their start has been compiled before (compiled.ts).
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
// By number of the module: where its compiled code begins, and its length.
const ranges = JSON.parse(compiled.latin1Slice(0, compiledAt))
const modules = []
const namespaces = []

function load(number) {
  const known = modules[number]
  if (known !== undefined) return known.exports
  const [filename, offset, length, imports, isCommonJs] = table[number]
  const module = { exports: {} }
  modules[number] = module
  try {
    const code = bytes.latin1Slice(codeAt + offset, codeAt + offset + length)
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

function compiledOf(number) {
  const range = ranges[number]
  if (range === undefined) return undefined
  const at = compiledAt + range[0]
  return compiled.subarray(at, at + range[1])
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

load(0)
