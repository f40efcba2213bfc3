import { execFileSync } from 'node:child_process'
import { InvalidArgumentError } from 'commander'

const KEY_MODES = ['0400', '0440', '0600', '0640']
const MAX_ID = 2 ** 32 - 2
const ASK_MS = 5_000

/** Parses the value of `--mode`: nobody but the user may write a key, and nobody outside of the group may read it. */
export function keyMode(text: string): number {
  const mode = text.padStart(4, '0')
  if (KEY_MODES.includes(mode)) return Number.parseInt(mode, 8)
  throw new InvalidArgumentError(`It is one of ${KEY_MODES.join(', ')}.`)
}

/** Parses the value of `--group`: the number of a group, or a name that this host knows. */
export function groupId(text: string): number {
  const id = Number(/^\d{1,10}$/.test(text) ? text : idOfName(text))
  if (Number.isSafeInteger(id) && id <= MAX_ID) return id
  throw new InvalidArgumentError('This host has no such group.')
}

function idOfName(name: string): string | undefined {
  // A name that begins with a dash would be an option.
  if (!/^[^-:\s][^:\s]*$/.test(name)) return undefined
  try {
    const line = execFileSync('getent', ['group', name], { encoding: 'utf8', stdio: 'pipe', timeout: ASK_MS })
    return /^[^:]*:[^:]*:(\d{1,10}):/.exec(line)?.[1]
  } catch {
    return undefined
  }
}
