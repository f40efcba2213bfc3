import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import test from 'node:test'
import { ALLOWED, STRICT } from '../../tools/streams/allowed.ts'
import { readStreams } from '../../tools/streams/read.ts'
import { checkStreams } from '../../tools/streams/rules.ts'

/** What is said of a project of these files. */
function violationsOf(files: Record<string, string>, allowed: Record<string, string> = {}): string[] {
  const root = mkdtempSync(join(tmpdir(), 'warren-streams-'))
  try {
    const tsconfig = join(root, 'tsconfig.json')
    const compilerOptions = { module: 'nodenext', target: 'esnext', noEmit: true, allowImportingTsExtensions: true }
    writeFileSync(tsconfig, JSON.stringify({ compilerOptions, include: ['src', 'test'] }))
    for (const [file, text] of Object.entries(files)) {
      mkdirSync(dirname(join(root, file)), { recursive: true })
      writeFileSync(join(root, file), text)
    }
    const { files: all, reads } = readStreams(root, tsconfig)
    return checkStreams(reads, all, { allowed, strict: STRICT })
  } finally {
    rmSync(root, { recursive: true })
  }
}

const LOOP =
  'export async function read(body: AsyncIterable<Buffer>) {\n  for await (const chunk of body) void chunk\n}'

const REFUSED: ReadonlyArray<readonly [folder: string, code: string, what: RegExp]> = [
  ...STRICT.map(folder => [folder, LOOP, /^src\/\w+\/a\d+\.ts:2 for await: .*readBody of src\/wire$/] as const),
  ['core', LOOP, /:2 for await/],
  ['cli', LOOP, /:2 for await: .*allowed\.ts says why$/],
  ['proxy', 'import { buffer } from "node:stream/consumers"\nbuffer', /:1 node:stream\/consumers/],
  ['mesh', 'import { pipeline } from "node:stream/promises"\npipeline', /:1 pipeline of node:stream\/promises/],
  ['api', 'import { type Duplex, finished as done } from "node:stream"\ndone', /:1 finished of node:stream/],
  ['wire', 'import * as streams from "stream"\nstreams', /:1 \* of stream/],
  ['proxy', 'export const first = (body: any) => body[Symbol.asyncIterator]().next()', /asyncIterator/],
  ['proxy', 'export const each = (body: any) => body.iterator({ destroyOnReturn: false })', /\.iterator\(\)/],
  ['agent', 'export const all = (body: any) => Array.fromAsync(body)', /Array\.fromAsync\(\)/]
]

test('every way of reading a stream by an iterator is caught', () => {
  // Each in a file of its own, all in one project, since reading a project costs a compiler process.
  const planted = REFUSED.map(([folder, code, what], index) => ({ file: `src/${folder}/a${index}.ts`, code, what }))
  const found = violationsOf(Object.fromEntries(planted.map(({ file, code }) => [file, code])))
  for (const { file, code, what } of planted) {
    const here = found.filter(violation => violation.startsWith(`${file}:`))
    assert.equal(here.length, 1, `${file}: ${code} gave ${JSON.stringify(here)}`)
    assert.match(here[0] ?? '', what, code)
  }
})

test('reading by events passes, and so do tests and what is allowed by name', () => {
  const files = {
    'src/proxy/a.ts':
      "import { type Duplex, PassThrough } from 'node:stream'\nexport const on = (body: Duplex) => body.on('data', () => new PassThrough())",
    'src/mesh/a.ts': 'export class Own { async *[Symbol.asyncIterator]() { yield 1 } }',
    'src/core/a.ts':
      'export const sum = (all: number[]) => { let sum = 0; for (const one of all) sum += one; return sum }',
    'src/cli/a.ts': LOOP,
    'test/a.ts': LOOP
  }
  assert.deepEqual(violationsOf(files, { 'src/cli/a.ts': 'standard input' }), [])
})

test('a permission that nobody needs is told', () => {
  const found = violationsOf({ 'src/cli/a.ts': 'export const none = 1' }, { 'src/cli/a.ts': 'was once needed' })
  assert.deepEqual(found, ['tools/streams/allowed.ts: src/cli/a.ts needs no permission'])
})

test('nothing that carries bytes of others is allowed, but for events and answers of the agent itself', () => {
  const inside = Object.keys(ALLOWED).filter(file => STRICT.some(folder => file.startsWith(`src/${folder}/`)))
  const services = ['admins', 'arrivals', 'events', 'observations', 'receipts'].map(
    name => `src/api/services/${name}.ts`
  )
  const api = ['src/api/grpc/reflection.ts', 'src/api/routes.ts', ...services, 'src/api/write-answer.ts']
  assert.deepEqual(inside.sort(), [...api, 'src/cluster/admins/signing.ts'])
})
