import { readFile } from 'node:fs/promises'
import { ErrorCode, fileFault, WarrenError } from '../../core/index.ts'

/** A token is under 2 KB; a longer file is the wrong one. */
const MAX_SECRET_BYTES = 16_384

/**
 * A secret from the command line: itself, `@FILE`, or `-` for standard input, without the white space around it.
 *
 * Other users can read the arguments of a process, hence the last two forms. Throws INVALID_ARGUMENT if the secret is empty,
 * or if the file cannot be read.
 */
export async function readSecret(option: string, text: string): Promise<string> {
  const secret = (await source(option, text)).trim()
  if (secret === '') throw new WarrenError(ErrorCode.InvalidArgument, `${option} is empty`)
  return secret
}

async function source(option: string, text: string): Promise<string> {
  if (text === '-') return await fromStdin(option)
  if (!text.startsWith('@')) return text
  const path = text.slice(1)
  try {
    return bounded(option, await readFile(path)).toString('utf8')
  } catch (cause) {
    if (cause instanceof WarrenError) throw cause
    const { why, hint } = fileFault(path, cause)
    throw new WarrenError(ErrorCode.InvalidArgument, `${option}: cannot read ${path}: ${why}`, { cause, hint })
  }
}

async function fromStdin(option: string): Promise<string> {
  let read = Buffer.alloc(0)
  for await (const chunk of process.stdin) {
    read = bounded(option, Buffer.concat([read, Buffer.from(chunk)]))
    // A terminal stays open after the line with the token.
    if (process.stdin.isTTY && read.includes('\n')) break
  }
  return read.toString('utf8')
}

function bounded(option: string, bytes: Buffer): Buffer<ArrayBuffer> {
  if (bytes.length > MAX_SECRET_BYTES)
    throw new WarrenError(ErrorCode.InvalidArgument, `${option}: this is too long for a token`)
  return Buffer.from(bytes)
}
