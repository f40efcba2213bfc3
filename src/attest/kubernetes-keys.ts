import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs'
import { ErrorCode, fileFault, WarrenError } from '../core/index.ts'

/** A set of keys has a few KB. */
const MAX_BYTES = 64 * 1024
const MAX_KEYS = 64
const HINT = 'Write it as root: kubectl get --raw /openid/v1/jwks > FILE'

/**
 * The text of a file of public keys (JWKS) with which a Kubernetes cluster signs the tokens of service accounts.
 *
 * Throws INVALID_OPTION for anything else, for a key that is not public, and for a file that another user than root or the
 * agent's own may write.
 */
export function readKubernetesKeys(path: string): string {
  const refuse = (why: string, cause?: unknown): WarrenError =>
    new WarrenError(ErrorCode.InvalidOption, `--kubernetes-keys ${path} ${why}`, { hint: HINT, cause })
  let fd: number
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (cause) {
    throw refuse(`cannot be read: ${fileFault(path, cause).why}`, cause)
  }
  try {
    const stat = fstatSync(fd)
    if (!stat.isFile()) throw refuse('is no file')
    if (stat.size > MAX_BYTES) throw refuse('is too large')
    if ((stat.uid !== 0 && stat.uid !== process.getuid?.()) || (stat.mode & 0o022) !== 0)
      throw refuse('can be written by other users')
    const text = readFileSync(fd, 'utf8')
    const why = faultIn(text)
    if (why !== undefined) throw refuse(`is no set of public keys (JWKS): ${why}`)
    return text
  } finally {
    closeSync(fd)
  }
}

function faultIn(text: string): string | undefined {
  let set: unknown
  try {
    set = JSON.parse(text)
  } catch {
    return 'it is no JSON'
  }
  const keys: unknown = typeof set === 'object' && set !== null && 'keys' in set ? set.keys : undefined
  if (!Array.isArray(keys) || keys.length === 0) return 'it has no keys'
  if (keys.length > MAX_KEYS) return `it has more than ${MAX_KEYS} keys`
  const isPublic = (key: unknown): boolean => typeof key === 'object' && key !== null && !('d' in key) && !('k' in key)
  return keys.every(isPublic) ? undefined : 'it has a key that is not public'
}
