import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { isInstalled, type Scope } from '../harness/index.ts'

export const ACTORS = join(import.meta.dirname, 'actors')
export const CLIENTS = join(import.meta.dirname, '..', '..', 'clients')

/** A library, and how its actor is run. */
export interface Language {
  readonly name: string
  /** Part of an address. */
  readonly slug: string
  readonly argv: readonly string[]
  readonly env: Readonly<Record<string, string>>
  /** Reason why it cannot be tested here. */
  readonly skip?: string
}

/** Environment in which Go fetches nothing. */
export const OFFLINE = { GOPROXY: 'off', GOTOOLCHAIN: 'local', GOFLAGS: '-mod=mod', GOWORK: 'off', CGO_ENABLED: '0' }

/** All libraries. Builds the actor of Go, if Go is here. */
export async function languages(scope: Scope): Promise<readonly Language[]> {
  const python = { PYTHONPATH: join(CLIENTS, 'python'), PYTHONDONTWRITEBYTECODE: '1' }
  const noPython = isInstalled('python3') ? {} : { skip: 'needs python3, which is not installed' }
  return [
    { name: 'TypeScript', slug: 'ts', argv: [process.execPath, join(ACTORS, 'actor.ts')], env: {} },
    { name: 'Python', slug: 'py', argv: ['python3', join(ACTORS, 'actor.py')], env: python, ...noPython },
    { name: 'Python asyncio', slug: 'aio', argv: ['python3', join(ACTORS, 'actor_aio.py')], env: python, ...noPython },
    await goActor(scope)
  ]
}

async function goActor(scope: Scope): Promise<Language> {
  const language = { name: 'Go', slug: 'go', argv: [], env: {} }
  if (!isInstalled('go')) return { ...language, skip: 'needs go, which is not installed' }
  const file = join(scope.directory(), 'actor')
  const options = { cwd: join(ACTORS, 'go'), env: { ...process.env, ...OFFLINE } }
  await promisify(execFile)('go', ['build', '-o', file, '.'], options)
  return { ...language, argv: [file] }
}
