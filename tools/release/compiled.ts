import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { constants, zstdCompressSync } from 'node:zlib'
import type { Platform } from './platforms.ts'
import { run } from './run.ts'
import { readStartList, type StartList } from './start-list.ts'

const PROGRAM = join(import.meta.dirname, 'compile.mjs')

/**
 * What is executed at the start, as record-start.ts found it: modules of Node, one a line; and, in three sections and in the
 * order of their execution, modules: the name, the hash of its code and where the executed functions end in it, divided by
 * spaces.
 */
export const START_MODULES = join(import.meta.dirname, 'start-modules.txt')

/** The best that is still quick to make. */
const COMPRESSION = { params: { [constants.ZSTD_c_compressionLevel]: 19 } }

export interface CompileOptions {
  readonly platform: Platform
  /** The file of packModules. */
  readonly modules: string
  readonly work: string
  /** @default START_MODULES */
  readonly list?: string
}

/** Files that the executable carries (start.mjs). What the commands do not need is compressed. */
export interface Code {
  /** The table of packModules, and the code of what the commands execute. */
  readonly modules: string
  /** The code of what else an agent executes at its start. */
  readonly agent: string
  readonly others: string
  readonly compiled: string
  readonly agentCompiled: string
}

/** As the list has a path: packages may lie above the checkout. */
export function listed(path: string): string {
  return path.replace(/^.*?node_modules\//, 'node_modules/')
}

/** Says whether the code of a module is that of which functions were noted. */
export function codeHash(code: string): string {
  return createHash('sha256').update(code).digest('hex').slice(0, 8)
}

/**
 * Compiles what is executed at the start, and divides the packed modules.
 *
 * V8 reads compiled code in a tenth of the time that it takes to compile the source, but refuses what another version wrote, or
 * the same one with other flags. So it is written by the Node that is put into the executable, and only for the architecture
 * of this machine: executables for others compile at their start.
 *
 * The first line of `compiled` has modules of Node, and numbers of modules with the length of what was compiled of each, in the
 * order of the start, for both, commands and agents: `[["node:http2"],[[NUMBER,LENGTH]],[[NUMBER,LENGTH]],[[NUMBER,LENGTH]]]`.
 */
export function compileStart({ platform, modules: packed, work, list = START_MODULES }: CompileOptions): Code {
  const file = (name: string): string => join(work, `${platform.arch}.${name}`)
  const divided = divide(packed, readStartList(list))
  writeFileSync(file('modules'), `${divided.table}\n${divided.codes[0]}`, 'latin1')
  writeFileSync(file('agent'), compressed(Buffer.from(divided.codes[1] ?? '', 'latin1')))
  writeFileSync(file('others'), compressed(Buffer.from(divided.codes[2] ?? '', 'latin1')))
  if (platform.arch === process.arch) {
    // With a random seed, the hashes of names would differ from run to run. V8 computes them anew where it reads the code, with
    // the seed of that process. Neither of the two options counts among the flags that have to be the same.
    const out = [file('compiled'), file('agent-compiled')]
    run(process.execPath, ['--predictable', '--random-seed=1', PROGRAM, packed, list, ...out])
  } else {
    writeFileSync(file('compiled'), '[[],[],[],[]]\n')
    writeFileSync(file('agent-compiled'), '')
  }
  writeFileSync(file('agent-compiled'), compressed(readFileSync(file('agent-compiled'))))
  return {
    modules: file('modules'),
    agent: file('agent'),
    others: file('others'),
    compiled: file('compiled'),
    agentCompiled: file('agent-compiled')
  }
}

/** Behind its length. */
function compressed(bytes: Buffer): Buffer {
  const length = Buffer.alloc(4)
  length.writeUInt32LE(bytes.length)
  return Buffer.concat([length, zstdCompressSync(bytes, COMPRESSION)])
}

/** Divides the modules in those of the commands, those of an agent and the rest. A row of the table names its part, but the first. */
function divide(packed: string, { commands, agent }: StartList): { table: string; codes: string[] } {
  const text = readFileSync(packed, 'latin1')
  const codeAt = text.indexOf('\n') + 1
  const table = JSON.parse(text.slice(0, codeAt)) as [name: string, offset: number, length: number, ...unknown[]][]
  const codes = ['', '', '']
  const rows = table.map(([name, offset, length, ...more]) => {
    const part = commands.has(listed(name)) ? 0 : agent.has(listed(name)) ? 1 : 2
    const at = codes[part]?.length
    codes[part] += text.slice(codeAt + offset, codeAt + offset + length)
    return [name, at, length, ...more, ...(part === 0 ? [] : [['', 'agent', 'others'][part]])]
  })
  return { table: JSON.stringify(rows), codes }
}
