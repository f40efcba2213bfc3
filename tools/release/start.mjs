// The main module of the executable. Node looks for the compiled code of a CommonJS main module in the directory that
// NODE_COMPILE_CACHE names, and executes what it finds there; not for an ES module, nor for the program, compiled from here.
import { createRequire } from 'node:module'
import { getAsset } from 'node:sea'
import { compileFunction } from 'node:vm'

const program = compileFunction(getAsset('warren.cjs', 'latin1'), ['require', 'exports', 'module'], {
  filename: 'warren'
})
program(createRequire(process.execPath), {}, {})
