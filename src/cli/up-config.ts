import { readFileSync } from 'node:fs'
import { parse, YAMLParseError } from 'yaml'
import { z } from 'zod'
import { LOG_LEVELS, UP_OPTIONS, type UpOptionName } from '../config/index.ts'
import { ErrorCode, fileFault, WarrenError } from '../core/index.ts'
import { nearest } from './nearest.ts'

const text = z.string().min(1).optional()
const list = z.array(z.string()).optional()

/** The keys of options that need more than their text. */
const own = {
  'runtime-dir': text,
  init: z.string().optional(),
  join: z.string().optional(),
  mdns: z.boolean().optional(),
  'drain-timeout': z.string().optional(),
  limits: z.record(z.string(), z.int()).optional(),
  'log-level': z.enum(LOG_LEVELS).optional()
}

const plain = Object.fromEntries(
  Object.entries(UP_OPTIONS).map(([name, option]) => [name, 'readAll' in option ? list : text])
)

/** What `warren up --config` may say: the long options of `up`, without the dashes. */
const schema = z.strictObject({ ...plain, ...own })

export type FileConfig = z.infer<z.ZodObject<typeof own>> & {
  readonly [name in UpOptionName]?: string | readonly string[]
}

const KEYS = Object.keys(schema.shape)
/** A configuration has a dozen lines; a larger file is the wrong one. */
const MAX_FILE_BYTES = 1_048_576

/** Reads a configuration file. Throws INVALID_CONFIG that names the file, the key and what it should be. */
export function readConfigFile(path: string): FileConfig {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (cause) {
    const { why, hint } = fileFault(path, cause)
    throw new WarrenError(ErrorCode.InvalidConfig, `cannot read ${path}: ${why}`, { cause, hint })
  }
  if (text.length > MAX_FILE_BYTES)
    throw new WarrenError(ErrorCode.InvalidConfig, `${path} is too large for a configuration`)
  return parseConfig(path, text)
}

/** As `readConfigFile`, from the text; `path` is for the messages. An empty file is valid. */
export function parseConfig(path: string, text: string): FileConfig {
  let content: unknown
  try {
    content = parse(text) ?? {}
  } catch (cause) {
    const reason = cause instanceof YAMLParseError ? (cause.message.split('\n', 1)[0] ?? '') : String(cause)
    throw new WarrenError(ErrorCode.InvalidConfig, `${path} is not YAML: ${reason.replace(/:$/, '')}`, { cause })
  }
  const result = schema.safeParse(content)
  // What `plain` holds is known by its names alone.
  if (result.success) return result.data as FileConfig
  const [issue] = result.error.issues
  throw issue === undefined ? new WarrenError(ErrorCode.InvalidConfig, `${path} is refused`) : explain(path, issue)
}

function explain(path: string, issue: z.core.$ZodIssue): WarrenError {
  if (issue.code === 'unrecognized_keys') {
    const key = issue.keys[0] ?? ''
    const near = nearest(key, KEYS)
    return new WarrenError(ErrorCode.InvalidConfig, `${path}: unknown key "${key.slice(0, 80)}"`, {
      hint: near === undefined ? `The keys are: ${KEYS.join(', ')}.` : `Did you mean "${near}"?`
    })
  }
  const where = issue.path.length === 0 ? path : `${path}: ${issue.path.join('.')}`
  return new WarrenError(ErrorCode.InvalidConfig, `${where}: ${issue.message.replace(/^Invalid input: /, '')}`, {
    hint: 'The keys are the long options of `warren up`; lists are written as [a, b].'
  })
}
