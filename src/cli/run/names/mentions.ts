import { closeSync, openSync, readSync, statSync } from 'node:fs'

/** A name of the mesh inside of other text, as in `postgres://db.main.warren:5432/`. */
const NAME = /(?<![\w.-])(?:[a-z0-9_][a-z0-9_-]{0,62}\.){2,5}warren(?![\w-]|\.\w)/gi
const MAX_FILES = 16
/** Of each file; a name further down is not found. */
const MAX_FILE_BYTES = 256 * 1024
const MAX_NAMES = 64

/**
 * The names of the mesh that a command will probably ask for, in lower case: those in its arguments, in its environment, and in the
 * files that its arguments name, such as the script of an interpreter. At most 64 different ones. Never throws.
 */
export function mentionedNames(argv: readonly string[], env: NodeJS.ProcessEnv): ReadonlySet<string> {
  const texts = [...argv, ...Object.values(env).filter(value => value !== undefined), ...filesNamedBy(argv)]
  const names = texts.flatMap(text => [...text.matchAll(NAME)].map(([name]) => name.toLowerCase()))
  return new Set([...new Set(names)].slice(0, MAX_NAMES))
}

function filesNamedBy(argv: readonly string[]): string[] {
  const paths = argv.flatMap(argument => [argument, argument.slice(argument.indexOf('=') + 1)])
  const texts: string[] = []
  for (const path of new Set(paths)) {
    const text = texts.length < MAX_FILES ? beginningOf(path) : undefined
    if (text !== undefined) texts.push(text)
  }
  return texts
}

/** Undefined for what is no readable file: the command will say so, if it matters. */
function beginningOf(path: string): string | undefined {
  try {
    // A pipe or a device would be read in place of the command.
    if (!statSync(path).isFile()) return undefined
    const fd = openSync(path, 'r')
    try {
      const bytes = Buffer.alloc(MAX_FILE_BYTES)
      return bytes.toString('latin1', 0, readSync(fd, bytes, 0, MAX_FILE_BYTES, 0))
    } finally {
      closeSync(fd)
    }
  } catch {
    return undefined
  }
}
