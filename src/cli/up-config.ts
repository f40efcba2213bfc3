import { readFileSync } from 'node:fs'
import { parse, YAMLParseError } from 'yaml'
import { z } from 'zod'
import { ErrorCode, WarrenError } from '../core/index.ts'
import { nearest } from './nearest.ts'

/** The keys of the file of `warren up --config`: the long options of `up`, without the dashes. */
const schema = z.strictObject({
  'state-dir': z.string().min(1).optional(),
  'runtime-dir': z.string().min(1).optional(),
  name: z.string().optional(),
  init: z.string().optional(),
  join: z.string().optional(),
  listen: z.string().optional(),
  'data-listen': z.string().optional(),
  advertise: z.array(z.string()).optional(),
  bootstrap: z.array(z.string()).optional(),
  mdns: z.boolean().optional(),
  carrier: z.string().optional(),
  'drain-timeout': z.string().optional(),
  'svid-lifetime': z.string().optional(),
  'node-lifetime': z.string().optional(),
  'authority-lifetime': z.string().optional(),
  'jwt-key-lifetime': z.string().optional(),
  'renewal-grace': z.string().optional(),
  limits: z.record(z.string(), z.int()).optional(),
  'log-level': z.enum(['error', 'warn', 'info', 'debug', 'silent']).optional()
})

export type FileConfig = z.infer<typeof schema>

const KEYS = Object.keys(schema.shape)
/** A configuration has a dozen lines; a larger file is the wrong one. */
const MAX_FILE_BYTES = 1_048_576

/** Reads a configuration file. Throws INVALID_CONFIG that names the file, the key and what it should be. */
export function readConfigFile(path: string): FileConfig {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unreadable'
    throw new WarrenError(ErrorCode.InvalidConfig, `cannot read ${path}: ${code}`, { cause })
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
  if (result.success) return result.data
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
