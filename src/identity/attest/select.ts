import { endianness } from 'node:os'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import { linuxPlatform } from './linux.ts'
import { linuxProcessReader } from './linux-process.ts'
import type { Platform } from './platform.ts'
import type { ProcessReader } from './process-reader.ts'

let selected: Platform | undefined

/** The implementation for this system. Throws UNSUPPORTED where there is none: without it no caller can be identified. */
export function platform(): Platform {
  selected ??= choose()
  return selected
}

/** Reads what processes are on this system. Throws UNSUPPORTED where there is no way. */
export function processReader(): ProcessReader {
  // Where a caller can be identified, it can be examined.
  platform()
  return linuxProcessReader()
}

function choose(): Platform {
  if (process.platform === 'linux' && endianness() === 'LE') return linuxPlatform()
  throw new WarrenError(ErrorCode.Unsupported, `cannot read peer credentials on ${process.platform} ${process.arch}`, {
    hint: 'warren runs on little-endian Linux; other systems are not supported yet.'
  })
}
