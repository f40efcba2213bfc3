import { ErrorCode, WarrenError } from '../../core/index.ts'
import { losesOutput, whenReaderEnds } from './closed-stdout.ts'

/** As the name of a file to write: standard output. */
export const STDOUT = '-'

/** Throws INVALID_OPTION where a file on standard output would be mixed with something else, or would go to a terminal as bytes. */
export function requireStdout({ json, isBinary }: { readonly json: boolean; readonly isBinary: boolean }): void {
  if (json) {
    throw new WarrenError(ErrorCode.InvalidOption, '--json and the file would both go to standard output', {
      hint: 'Leave --json out, or give a path.'
    })
  }
  if (losesOutput()) {
    throw new WarrenError(ErrorCode.InvalidOption, 'standard output is closed, and the file would be lost', {
      hint: 'Redirect it to a file or a pipe, or give a path.'
    })
  }
  if (isBinary && process.stdout.isTTY) {
    throw new WarrenError(ErrorCode.InvalidOption, 'standard output is a terminal, and the file is not text', {
      hint: 'Redirect it, as in: - > FILE.'
    })
  }
}

/** Writes a file to standard output; resolves once all of it has left this process. A reader that takes only a part of it fails the command. */
export async function writeStdout(content: Uint8Array | string): Promise<void> {
  whenReaderEnds('failed')
  const written = Promise.withResolvers<void>()
  process.stdout.write(content, err => (err ? written.reject(err) : written.resolve()))
  await written.promise
}
