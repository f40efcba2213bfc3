import { readFileSync } from 'node:fs'
import type { ConnectionOptions } from 'node:tls'
import type { TlsFiles } from '../config/index.ts'
import { ErrorCode, fileFault, WarrenError } from '../core/index.ts'
import { readIfPresent } from '../state/index.ts'

/** What these files say. They are read for each connection, so that they can be replaced. Throws INVALID_ARGUMENT or STATE_UNUSABLE. */
export function readTlsFiles({ ca, cert, key }: TlsFiles): Pick<ConnectionOptions, 'ca' | 'cert' | 'key'> {
  return {
    ...(ca === undefined ? {} : { ca: readFile(ca) }),
    ...(cert === undefined ? {} : { cert: readFile(cert) }),
    ...(key === undefined ? {} : { key: readSecret(key) })
  }
}

/** The token in a file that nobody else can read. Throws INVALID_ARGUMENT or STATE_UNUSABLE. */
export function readToken(path: string): string {
  const token = readSecret(path).toString().trim()
  if (/^[!-~]{1,8192}$/.test(token)) return token
  throw new WarrenError(ErrorCode.InvalidArgument, `${path} does not contain a token`, {
    hint: 'It contains the token alone, without spaces in it.'
  })
}

function readSecret(path: string): Buffer {
  return readIfPresent(path) ?? readFile(path)
}

function readFile(path: string): Buffer {
  try {
    return readFileSync(path)
  } catch (cause) {
    const { why, hint } = fileFault(path, cause)
    throw new WarrenError(ErrorCode.InvalidArgument, `cannot read ${path}: ${why}`, { cause, hint })
  }
}
