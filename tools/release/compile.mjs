// node --predictable --random-seed=1 compile.mjs MODULES LIST OUT: compiles those of the packed modules that LIST names, one
// a line, with all their functions. compiled.ts says why and for whom.
import { readFileSync, writeFileSync } from 'node:fs'
import { setFlagsFromString } from 'node:v8'
import { Script } from 'node:vm'

const [modulesFile, listFile, outFile] = process.argv.slice(2)
const bytes = readFileSync(modulesFile)
const codeAt = bytes.indexOf(10) + 1
const table = JSON.parse(bytes.latin1Slice(0, codeAt))
const wanted = new Set(readFileSync(listFile, 'utf8').split('\n'))
const ranges = {}
const parts = []
let at = 0
for (const [number, [filename, offset, length]] of table.entries()) {
  if (!wanted.has(filename.replace(/^.*?node_modules\//, 'node_modules/'))) continue
  const code = bytes.latin1Slice(codeAt + offset, codeAt + offset + length)
  setFlagsFromString('--no-lazy')
  const script = new Script(code, { filename })
  // Compiled code is refused where the flags are others than those under which it was written.
  setFlagsFromString('--lazy')
  const data = script.createCachedData()
  ranges[number] = [at, data.length]
  parts.push(data)
  at += data.length
}
writeFileSync(outFile, Buffer.concat([Buffer.from(`${JSON.stringify(ranges)}\n`), ...parts]))
