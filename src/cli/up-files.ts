import { existsSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import {
  configFiles,
  type DeclaredSource,
  type FileConfig,
  type Files,
  NOTHING_DECLARED,
  type Reading
} from '../config/index.ts'

/** The runtime directory of the agent of the whole host, and where its configuration is. */
const SYSTEM_RUNTIME_DIR = '/run/warren'
export const SYSTEM_CONFIG = '/etc/warren/warren.yaml'

export interface FilesChoice {
  /** The file that was named. */
  readonly config: string | undefined
  readonly runtimeDir: string | undefined
  readonly uid: number | undefined
}

/**
 * The files of an agent now: the named one with `conf.d` beside it, or, for the agent of the whole host, those of /etc/warren
 * that exist. An agent with a runtime directory of its own reads nothing that it was not told to.
 */
export async function filesNow({ config, runtimeDir, uid }: FilesChoice): Promise<Files | undefined> {
  const isSystem = runtimeDir === SYSTEM_RUNTIME_DIR || (runtimeDir === undefined && uid === 0)
  const path = config ?? (isSystem ? SYSTEM_CONFIG : undefined)
  if (path === undefined) return undefined
  if (config !== undefined || existsSync(path)) return (await configFiles()).filesOf(resolve(path))
  const parts = join(dirname(path), 'conf.d')
  return existsSync(parts) ? { main: undefined, parts: [parts] } : undefined
}

export interface ReadFiles {
  readonly options: FileConfig
  readonly source: DeclaredSource
}

/** Of an agent without files. */
export const NO_FILES: DeclaredSource = Object.freeze({
  declared: NOTHING_DECLARED,
  read: async () => undefined
})

/** Options that have no effect on a member, so that a change of theirs needs nothing. */
const ONCE: readonly string[] = ['init', 'join']

/** Reads the files for a start. `isOverridden`: the command line or a variable has the option, so the file does not count. */
export async function readFiles(choice: FilesChoice, isOverridden: (name: string) => boolean): Promise<ReadFiles> {
  const load = async () => {
    const files = await filesNow(choice)
    if (files === undefined) return undefined
    const { requireFiles, optionFaults, refuse } = await configFiles()
    const loaded = requireFiles(files)
    if (files.main !== undefined) refuse(optionFaults(files.main))
    return loaded
  }
  const first = await load()
  const options = first?.options ?? {}
  const read = async (): Promise<Reading | undefined> => {
    const again = await load()
    if (again === undefined) return undefined
    const now = again.options
    const names = new Set([...Object.keys(options), ...Object.keys(now)])
    const needRestart = [...names].filter(
      name => !ONCE.includes(name) && !isOverridden(name) && textOf(options, name) !== textOf(now, name)
    )
    return { declared: again.declared, needRestart }
  }
  return { options, source: { declared: first?.declared ?? NOTHING_DECLARED, read } }
}

function textOf(options: FileConfig, name: string): string | undefined {
  return JSON.stringify((options as Readonly<Record<string, unknown>>)[name])
}
