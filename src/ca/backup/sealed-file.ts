import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import { ErrorCode, fileFault, WarrenError } from '../../core/index.ts'
import { MAX_SEALED_BYTES } from './sealed.ts'

/** The bytes of a sealed file, limited to the largest possible one. Throws INVALID_ARGUMENT or FILE_DAMAGED. */
export function readSealedFile(path: string): Buffer {
  let file: number
  try {
    // Opened without blocking, so that a pipe in its place is refused below.
    file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (cause) {
    const { why, hint } = fileFault(path, cause)
    throw new WarrenError(ErrorCode.InvalidArgument, `cannot read ${path}: ${why}`, { cause, hint })
  }
  try {
    const found = fstatSync(file)
    if (!found.isFile()) throw new WarrenError(ErrorCode.InvalidArgument, `${path} is not a file`)
    if (found.size > MAX_SEALED_BYTES) throw new WarrenError(ErrorCode.FileDamaged, `${path} is too large to be one`)
    const bytes = Buffer.alloc(found.size)
    let length = 0
    for (let read = -1; read !== 0 && length < bytes.length; length += read)
      read = readSync(file, bytes, length, bytes.length - length, null)
    return bytes.subarray(0, length)
  } finally {
    closeSync(file)
  }
}
