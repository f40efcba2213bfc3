// node --predictable --random-seed=1 compile.mjs MODULES LIST OUT AGENT-OUT: compiles the functions of the packed modules that
// LIST names. compiled.ts says why and for whom, and what is in the files.
import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { Session } from 'node:inspector'
import { setFlagsFromString } from 'node:v8'
import { Script } from 'node:vm'

const [modulesFile, listFile, ...outFiles] = process.argv.slice(2)
const bytes = readFileSync(modulesFile)
const codeAt = bytes.indexOf(10) + 1
const table = JSON.parse(bytes.latin1Slice(0, codeAt))
const numbers = new Map(
  table.map(([filename], number) => [filename.replace(/^.*?node_modules\//, 'node_modules/'), number])
)
const session = new Session()
const scripts = new Map()
session.connect()
session.on('Debugger.scriptParsed', ({ params }) => scripts.set(params.url, params.scriptId))
session.post('Debugger.enable')
const [builtins, ...sections] = readFileSync(listFile, 'utf8')
  .split(/^#.*$/m)
  .map(part => part.trim().split('\n'))
const parts = sections.map(lines => lines.map(compile).filter(one => one !== undefined))
const lengths = parts.map(list => list.map(({ number, data }) => [number, data.length]))
const [both, commands, agent] = parts.map(list => Buffer.concat(list.map(({ data }) => data)))
const header = JSON.stringify([builtins.filter(name => name !== ''), ...lengths])
writeFileSync(outFiles[0], Buffer.concat([Buffer.from(`${header}\n`), both, commands]))
writeFileSync(outFiles[1], agent)

/** Undefined for a module that is gone. */
function compile(line) {
  const [name, hash, ...ends] = line.split(' ')
  const number = numbers.get(name)
  if (number === undefined) return undefined
  const [filename, offset, length] = table[number]
  const code = bytes.latin1Slice(codeAt + offset, codeAt + offset + length)
  const isSame = createHash('sha256').update(code).digest('hex').slice(0, 8) === hash
  const script = isSame ? withFunctions(filename, code, ends.map(Number)) : whole(filename, code)
  return { number, data: script.createCachedData() }
}

// V8 compiles the functions in which a breakpoint is looked for, those around them, and no other. None is called: the script
// yields the function of the module.
function withFunctions(filename, code, ends) {
  const script = new Script(code, { filename })
  script.runInThisContext()
  const scriptId = scripts.get(filename)
  let line = 0
  let lineAt = 0
  for (const end of ends) {
    for (let next = code.indexOf('\n', lineAt); next >= 0 && next < end - 1; next = code.indexOf('\n', lineAt)) {
      line += 1
      lineAt = next + 1
    }
    const columnNumber = end - 1 - lineAt
    const [start, after] = [0, 1].map(more => ({ scriptId, lineNumber: line, columnNumber: columnNumber + more }))
    session.post('Debugger.getPossibleBreakpoints', { start, end: after }, err => {
      if (err) throw new Error(`${filename}: ${err.message}`)
    })
  }
  return script
}

// It has changed since, and nobody knows which of its functions are executed.
function whole(filename, code) {
  setFlagsFromString('--no-lazy')
  const script = new Script(code, { filename })
  // Compiled code is refused where the flags are others than those under which it was written.
  setFlagsFromString('--lazy')
  return script
}
