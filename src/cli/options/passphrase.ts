import { readFile } from 'node:fs/promises'
import { ErrorCode, fileFault, WarrenError } from '../../core/index.ts'

/** For `.option`: the file with a passphrase. Never the command line, which other users can read. */
export const PASSPHRASE_OPTION = '--passphrase-file <file>'
export const PASSPHRASE_HELP = 'first line is the passphrase; - for standard input (default: asked at the terminal)'

const MAX_BYTES = 8_192

/**
 * A passphrase: the first line of a file, or a line from the terminal, which does not show it; `twice` asks for it again.
 *
 * Throws INVALID_ARGUMENT if there is neither a file nor a terminal, and if the two differ.
 */
export async function readPassphrase(file: string | undefined, twice: boolean): Promise<string> {
  if (file === '-') return firstLine(await fromStdin())
  if (file !== undefined) return firstLine(await fromFile(file))
  if (!process.stdin.isTTY) {
    throw new WarrenError(ErrorCode.InvalidArgument, 'there is no terminal to read the passphrase from', {
      hint: 'Give --passphrase-file FILE, or --passphrase-file - and the passphrase on standard input.'
    })
  }
  const passphrase = await readLine('passphrase: ', true)
  if (twice && (await readLine('once more: ', true)) !== passphrase) {
    throw new WarrenError(ErrorCode.InvalidArgument, 'the two passphrases differ')
  }
  return passphrase
}

/** Asks at the terminal, shows what is typed, and returns it without the white space around it. */
export async function askTerminal(question: string): Promise<string> {
  return (await readLine(question, false)).trim()
}

/** The same for a secret, which is not shown. */
export async function askHidden(question: string): Promise<string> {
  return await readLine(question, true)
}

// By events, since a loop over standard input would close it behind itself, and there may be another question.
async function readLine(question: string, hidden: boolean): Promise<string> {
  const { stdin } = process
  const ended = Promise.withResolvers<string>()
  const stop = (): void => ended.reject(new DOMException('stopped', 'AbortError'))
  const decoder = new TextDecoder()
  let typed = ''
  const take = (char: string): void => {
    if (char === '\r' || char === '\n') ended.resolve(typed)
    // In raw mode the terminal sends these as characters and no signal: Ctrl-C, Ctrl-D.
    else if (char === '\x03' || char === '\x04') stop()
    else if (char === '\x7f' || char === '\b') typed = [...typed].slice(0, -1).join('')
    else if (typed.length < MAX_BYTES) typed += char
  }
  const onData = (chunk: Buffer): void => {
    for (const char of decoder.decode(chunk, { stream: true })) take(char)
  }
  // Set before the question: a fast answer must not be shown.
  if (hidden) stdin.setRawMode(true)
  process.stderr.write(question)
  stdin.on('data', onData).once('end', stop).resume()
  try {
    return await ended.promise
  } finally {
    if (hidden) {
      stdin.setRawMode(false)
      process.stderr.write('\n')
    }
    stdin.off('data', onData).off('end', stop).pause()
  }
}

async function fromFile(path: string): Promise<Buffer> {
  try {
    return await readFile(path)
  } catch (cause) {
    const { why, hint } = fileFault(path, cause)
    throw new WarrenError(ErrorCode.InvalidArgument, `--passphrase-file: cannot read ${path}: ${why}`, { cause, hint })
  }
}

async function fromStdin(): Promise<Buffer> {
  let read = Buffer.alloc(0)
  for await (const chunk of process.stdin) {
    read = Buffer.concat([read, Buffer.from(chunk)])
    if (read.includes('\n') || read.length > MAX_BYTES) break
  }
  return read
}

function firstLine(bytes: Buffer): string {
  const [line = ''] = bytes.toString('utf8').split(/\r?\n/, 1)
  if (line === '' || line.length > MAX_BYTES) {
    throw new WarrenError(ErrorCode.InvalidArgument, '--passphrase-file: the first line is empty or too long')
  }
  return line
}
