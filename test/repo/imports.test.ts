import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import test from 'node:test'
import { circles, overgrown, tooLong, withoutIndex } from '../../tools/imports/circles.ts'
import { layering } from '../../tools/imports/layering.ts'
import { readModules } from '../../tools/imports/read.ts'
import { repeated } from '../../tools/imports/repeated.ts'

/** The violations of a project of these files, as "file: text". */
function violationsOf(
  files: Record<string, string>,
  rules = [layering, circles, withoutIndex, tooLong, overgrown, repeated]
): string[] {
  const root = mkdtempSync(join(tmpdir(), 'warren-imports-'))
  try {
    const tsconfig = join(root, 'tsconfig.json')
    const compilerOptions = { module: 'nodenext', noEmit: true, allowImportingTsExtensions: true }
    writeFileSync(tsconfig, JSON.stringify({ compilerOptions, include: ['src'] }))
    for (const [file, text] of Object.entries(files)) {
      mkdirSync(dirname(join(root, file)), { recursive: true })
      writeFileSync(join(root, file), text)
    }
    const modules = readModules(root, tsconfig)
    return rules.flatMap(rule => rule(modules)).map(({ file, text }) => `${file}: ${text}`)
  } finally {
    rmSync(root, { recursive: true })
  }
}

const REFUSED: ReadonlyArray<readonly [file: string, code: string, why: RegExp]> = [
  // upwards
  ['src/core/a.ts', "import { x } from '../wire/index.ts'; x()", /core must not import wire/],
  ['src/wire/a.ts', "import { x } from '../identity/index.ts'; x()", /wire must not import identity/],
  ['src/identity/a.ts', "import { x } from '../policy/index.ts'; x()", /identity must not import policy/],
  ['src/registry/a.ts', "import { x } from '../mesh/index.ts'; x()", /registry must not import mesh/],
  ['src/mesh/a.ts', "import { x } from '../agent/index.ts'; x()", /mesh must not import agent/],
  ['src/agent/a.ts', "import { x } from '../cli/index.ts'; x()", /agent must not import cli/],
  ['src/agent/a.ts', "import { x } from '../client/index.ts'; x()", /agent must not import client/],
  // sideways
  ['src/policy/a.ts', "import { x } from '../registry/index.ts'; x()", /policy must not import registry/],
  ['src/mesh/a.ts', "import { x } from '../proxy/index.ts'; x()", /mesh must not import proxy/],
  ['src/api/deep/a.ts', "import { x } from '../../mesh/index.ts'; x()", /api must not import mesh/],
  ['src/cluster/a.ts', "import { x } from '../ca/index.ts'; x()", /cluster must not import ca/],
  ['src/ca/a.ts', "import { x } from '../agent/index.ts'; x()", /ca must not import agent/],
  ['src/workloads/a.ts', "import { x } from '../proxy/index.ts'; x()", /workloads must not import proxy/],
  ['src/mesh/a.ts', "import { x } from '../attest/index.ts'; x()", /mesh must not import attest/],
  ['src/proxy/a.ts', "import { x } from '../workloads/index.ts'; x()", /nothing but types of workloads/],
  ['src/proxy/a.ts', "import { type X, x } from '../workloads/index.ts'; x()", /nothing but types of workloads/],
  ['src/state/a.ts', "import { x } from '../cluster/index.ts'; x()", /state must not import cluster/],
  // what only looks harmless
  ['src/policy/a.ts', "import type { X } from '../registry/index.ts'; export type Y = X", /policy must not import/],
  ['src/policy/a.ts', "export type Y = import('../registry/index.ts').X", /policy must not import registry/],
  ['src/policy/a.ts', "export * from '../registry/index.ts'", /policy must not import registry/],
  ['src/client/a.ts', "export const x = await import('../mesh/index.ts')", /client must not import mesh/],
  [
    'src/client/a.ts',
    "const name = '../mesh/index.ts'; export const x = await import(name)",
    /computes what it imports/
  ],
  ['src/client/a.ts', "import { x } from '../identity/index.ts'; x()", /client must not import identity/],
  ['src/cli/a.ts', "import { x } from '../../tools/x.ts'; x()", /outside src/],
  ['src/extra/a.ts', 'export {}', /not a known folder/],
  // past the door
  ['src/proxy/a.ts', "import { x } from '../identity/address.ts'; x()", /only its index\.ts/],
  ['src/cli/a.ts', "import { x } from '../wire/gen/a_pb.js'; x()", /only its index\.ts/],
  // the agent is loaded by `up` alone, and late
  ['src/cli/status.ts', "export const x = await import('../agent/index.ts')", /cli must not import agent/],
  ['src/cli/commands/up.ts', "import { type X, x } from '../../agent/index.ts'; x()", /with import\(\)/],
  // libp2p
  ['src/agent/a.ts', "import { createLibp2p } from 'libp2p'; createLibp2p()", /only mesh may/],
  ['src/proxy/a.ts', "import type { Stream } from '@libp2p/interface'; export type S = Stream", /only mesh may/],
  ['src/api/a.ts', "import { multiaddr } from '@multiformats/multiaddr'; multiaddr('')", /only mesh may/],
  // purity
  ['src/registry/a.ts', "import net from 'node:net'; net.connect(1)", /must not import node:net/],
  ['src/policy/a.ts', "import { readFileSync } from 'node:fs'; readFileSync('')", /must not import node:fs/],
  ['src/identity/a.ts', "import 'node:child_process'", /must not import node:child_process/],
  [
    'src/identity/a.ts',
    "import { setTimeout as wait } from 'node:timers/promises'; wait(1)",
    /must not import node:timers/
  ],
  ['src/identity/verify/a.ts', "import { x } from 'koffi'; x()", /must not import koffi/],
  ['src/registry/a.ts', 'export const x = () => Date.now()', /must not use Date\.now/],
  ['src/registry/a.ts', 'export const now = Date.now', /must not use Date\.now/],
  ['src/registry/a.ts', 'export const x = () => new Date()', /must not use new Date\(\)/],
  ['src/policy/a.ts', 'export const x = () => setTimeout(() => {}, 1)', /must not use setTimeout/],
  ['src/policy/a.ts', 'export const x = Math.random()', /must not use Math\.random/],
  ['src/identity/a.ts', 'export const x = process.env', /must not use process/],
  ['src/identity/a.ts', 'export const x = performance.now()', /must not use performance/],
  ['src/registry/a.ts', "import { sleep } from '../core/index.ts'; sleep()", /must not use sleep of core/],
  ['src/identity/a.ts', "import { systemClock as c } from '../core/index.ts'; c()", /must not use systemClock of core/]
]

const ALLOWED: Record<string, string> = {
  'src/core/a.ts': "import { readFileSync } from 'node:fs'; export const x = () => readFileSync(String(Date.now()))",
  'src/wire/a.ts': "import { x } from '../core/index.ts'; import './gen/a_pb.js'; x()",
  'src/identity/a.ts':
    "import { within } from '../core/index.ts'; export const x = (nowMs: number) => [within, new Date(nowMs)]",
  'src/attest/a.ts': "import net from 'node:net'; export const x = () => net.connect(process.pid)",
  'src/registry/a.ts':
    "import { x } from '../identity/index.ts'; import { createHash } from 'node:crypto'; x(createHash)",
  'src/policy/a.ts': 'export const x = (handle: { process: { pid: number } }) => handle.process.pid // not Date.now()',
  'src/mesh/a.ts': "import { x } from '../registry/index.ts'; import { noise } from '@libp2p/noise'; x(noise)",
  'src/api/a.ts': "import { x } from '../ca/index.ts'; x()",
  'src/proxy/a.ts': "import type { X } from '../workloads/index.ts'; export type Y = X",
  'src/workloads/a.ts': "import { x } from '../attest/index.ts'; x()",
  'src/ca/a.ts': "import { x } from '../cluster/index.ts'; x()",
  'src/cluster/a.ts': "import { x } from '../state/index.ts'; x()",
  'src/agent/a.ts': "import { x } from '../mesh/index.ts'; import { y } from '../proxy/index.ts'; x(y)",
  'src/client/a.ts': "import { x } from '../wire/index.ts'; x()",
  'src/cli/a.ts': "import { x } from '../client/index.ts'; x()",
  'src/cli/commands/up.ts':
    "import type { Y } from '../../agent/index.ts'; export const up = async (): Promise<Y> => await import('../../agent/index.ts')"
}

test('every import in the wrong direction is caught', () => {
  // Each in a file of its own, all in one project, since reading a project costs a compiler process.
  const planted = REFUSED.map(([file, code, why], index) => {
    const own = file.endsWith('/a.ts') ? file.replace(/a\.ts$/, `a${index}.ts`) : file
    return { file: own, code, why }
  })
  const found = violationsOf(Object.fromEntries(planted.map(({ file, code }) => [file, code])), [layering])
  for (const { file, code, why } of planted) {
    const here = found.filter(violation => violation.startsWith(`${file}: `))
    assert.equal(here.length, 1, `${file}: ${code} gave ${JSON.stringify(here)}`)
    assert.match(here[0] ?? '', why, code)
  }
})

test('what the design allows passes', () => {
  assert.deepEqual(violationsOf(ALLOWED), [])
})

test('subfolders that import each other in a circle are caught, however long it is and however deep', () => {
  const found = violationsOf({
    'src/proxy/flow/a.ts': "import { x } from '../session/b.ts'; x()",
    'src/proxy/session/b.ts': "import { y } from '../fastpath/c.ts'; export const x = y",
    'src/proxy/fastpath/c.ts': 'export const y = () => {}',
    'src/proxy/fastpath/d.ts': "import type { Z } from '../flow/e.ts'; export type Y = Z",
    'src/proxy/flow/e.ts': 'export type Z = 1',
    'src/mesh/gossip/deep/a.ts': "import { x } from '../wide/b.ts'; x()",
    'src/mesh/gossip/wide/b.ts': "import type { Z } from '../deep/c.ts'; export const x = (z: Z) => z",
    'src/mesh/gossip/deep/c.ts': 'export type Z = 1'
  })
  const circle = (text: string): string[] => found.filter(violation => violation.includes(text))
  assert.equal(circle('circle in src/proxy').length, 3, found.join('\n'))
  assert.equal(circle('circle in src/mesh/gossip').length, 2, found.join('\n'))
  assert.equal(found.length, 5, found.join('\n'))
})

test('a subfolder may use what its parent keeps for all, and its parent uses it', () => {
  const found = violationsOf({
    'src/proxy/index.ts': "export { x } from './flow/a.ts'",
    'src/proxy/limits.ts': 'export const max = 1',
    'src/proxy/flow/a.ts': "import { max } from '../limits.ts'; export const x = max"
  })
  assert.deepEqual(found, [])
})

test('a subfolder of more than five files has an index', () => {
  const files = (folder: string, count: number): Record<string, string> =>
    Object.fromEntries(Array.from({ length: count }, (_, index) => [`${folder}/f${index}.ts`, 'export {}']))
  const found = violationsOf({
    ...files('src/proxy/flow', 6),
    ...files('src/proxy/session', 5),
    ...files('src/ca/roots', 6),
    'src/ca/roots/index.ts': 'export {}',
    ...files('src/core', 9)
  })
  assert.deepEqual(found, ['src/proxy/flow: has 6 files and no index.ts'])
})

test('a file that is written by hand has at most 300 lines', () => {
  const text = (lines: number): string => 'export {}\n'.repeat(lines)
  const found = violationsOf({
    'src/core/long.ts': text(301),
    'src/core/full.ts': text(300),
    'src/core/open.ts': `${text(300)}export {}`,
    'src/wire/gen/a_pb.d.ts': text(400)
  })
  assert.deepEqual(found, [
    'src/core/long.ts: has 301 lines, more than 300',
    'src/core/open.ts: has 301 lines, more than 300'
  ])
})

test('a file that imports or exports two lists from one other file is refused', () => {
  const lists = {
    'src/core/index.ts': "export type { A } from './a.ts'\nexport { b } from './a.ts'\nexport * from './a.ts'",
    'src/core/b.ts':
      "import type { A } from './a.ts'\nimport { b } from './a.ts'\nexport { b } from './a.ts'\nexport type B = A",
    'src/core/c.ts': "import * as all from './a.ts'\nimport { b } from './a.ts'\nexport const c = [all, b]"
  }
  assert.deepEqual(violationsOf(lists, [repeated]).sort(), [
    'src/core/b.ts: imports from ./a.ts twice: write one list',
    'src/core/index.ts: exports from ./a.ts twice: write one list'
  ])
})

test('the room of assembly has a bound', () => {
  const lines = (count: number): string => '// a line\n'.repeat(count)
  const files = Object.fromEntries(Array.from({ length: 8 }, (_, at) => [`src/agent/f${at}.ts`, lines(249)]))
  assert.deepEqual(violationsOf({ ...files }), [])
  const [violation] = violationsOf({ ...files, 'src/agent/more.ts': lines(30) })
  assert.match(violation ?? '', /^src\/agent\/: has 20\d\d lines, more than 2000$/)
})
