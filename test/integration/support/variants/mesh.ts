import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createHosts, type Host, Program, type Scope, TestAgent, WARREN, waitFor } from '../../../harness/index.ts'

export const SITE = 'dev.web.site.default'
export const DOCS = 'dev.web.docs.default'
export const SHOP = 'dev.shop.cart.default'
export const SERVER_PORT = 8_080
export const DATA_PORT = 7_461
export const MESH_PORT = 7_460

/** A server of a host, as a program of its own. */
const SERVER = `
  import net from 'node:net'
  net.createServer(socket => socket.on('error', () => {}).end('hi')).listen(${SERVER_PORT}, '127.0.0.1', () => console.log('up'))`

/** Three hosts: a has founded the mesh and sets the policy, b serves the site, c the docs. */
export interface Mesh {
  readonly scope: Scope
  readonly hosts: { readonly a: Host; readonly b: Host; readonly c: Host }
  readonly agents: { readonly a: TestAgent; readonly b: TestAgent; readonly c: TestAgent }
  readonly tokenOfB: string
  server: Program
  expose: Program
}

/** The options of each agent, besides how it begins. */
export const AT: readonly string[] = ['--no-mdns']

export async function startMesh(scope: Scope): Promise<Mesh> {
  const [a, b, c] = await createHosts(scope, 'a', 'b', 'c')
  const founder = await new TestAgent(scope, { name: 'a', args: AT, host: a }).start(['--init', 'example.org', ...AT])
  const tokenOf = async (name: string): Promise<string> => await founder.token(name)
  const join = async (name: 'b' | 'c', host: Host, token: string): Promise<TestAgent> =>
    await new TestAgent(scope, { name, args: AT, host }).start(['--join', token, ...AT])
  const tokenOfB = await tokenOf('b')
  const agents = { a: founder, b: await join('b', b, tokenOfB), c: await join('c', c, await tokenOf('c')) }
  await founder.allow('dev.*.*.*', 'dev.web.*.*')
  const server = await startServer(scope, b)
  const expose = await startExpose(agents.b, SITE)
  await startServer(scope, c)
  await startExpose(agents.c, DOCS)
  await Promise.all([founder.knows(SITE), founder.knows(DOCS), agents.c.knows(SITE), agents.b.knows(DOCS)])
  return { scope, hosts: { a, b, c }, agents, tokenOfB, server, expose }
}

export async function startServer(scope: Scope, host: Host): Promise<Program> {
  const server = new Program(scope, host.enter([process.execPath, '--input-type=module', '-e', SERVER]))
  await server.says(/up/)
  return server
}

export async function startExpose(agent: TestAgent, address: string): Promise<Program> {
  const expose = agent.spawn(['expose', address, '--tcp', `127.0.0.1:${SERVER_PORT}`])
  await expose.says(/leads to/, 'stderr')
  return expose
}

/** The program of an agent whose clock differs from that of this machine. */
export function shifted(scope: Scope, byMs: number): string {
  const file = join(scope.directory(), 'shifted.mjs')
  writeFileSync(
    file,
    `const Real = Date
globalThis.Date = class extends Real {
  constructor(...parts) { if (parts.length === 0) super(Real.now() + ${byMs}); else super(...parts) }
  static now() { return Real.now() + ${byMs} }
}
await import(${JSON.stringify(WARREN)})
`
  )
  return file
}

/** Both streams of a command, however it ends. */
export async function outputOf(agent: TestAgent, ...args: string[]): Promise<string> {
  const { stdout, stderr, code } = await agent.attempt(args)
  return `${stdout}${stderr}exit code ${code}\n`
}

/** Repeats a command until its output matches: what hosts know of each other comes in its own time. */
export async function outputWhen(agent: TestAgent, expected: RegExp, ...args: string[]): Promise<string> {
  let last = ''
  try {
    return await waitFor(async () => {
      last = await outputOf(agent, ...args)
      return expected.test(last) ? last : undefined
    }, String(expected))
  } catch (err) {
    throw new Error(`${String(expected)} is not in\n${last}`, { cause: err })
  }
}
