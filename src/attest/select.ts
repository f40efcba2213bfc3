import { endianness } from 'node:os'
import { ErrorCode, WarrenError } from '../core/index.ts'
import { type BsdSystem, bsdCalls, bsdPlatform, bsdProcessReader, freebsd, macos, openbsd } from './bsd/index.ts'
import { linuxPlatform } from './linux.ts'
import { linuxProcessReader } from './linux-process.ts'
import type { Platform } from './platform.ts'
import type { ProcessReader } from './process-reader.ts'

interface Implementation {
  readonly platform: Platform
  readonly reader: ProcessReader
}

const BSDS: Readonly<Record<string, BsdSystem>> = { darwin: macos, freebsd, openbsd }
// Their structures are laid out for these.
const BSD_ARCHITECTURES: ReadonlySet<string> = new Set(['x64', 'arm64'])

let selected: Implementation | undefined

/** The implementation for this system. Throws UNSUPPORTED where there is none: without it no caller can be identified. */
export function platform(): Platform {
  selected ??= implementation(process.platform, process.arch)
  return selected.platform
}

/** Reads the facts about processes on this system. Throws UNSUPPORTED where there is no way. */
export function processReader(): ProcessReader {
  selected ??= implementation(process.platform, process.arch)
  return selected.reader
}

/** The implementation for a system by the names that Node gives it. Throws UNSUPPORTED. */
export function implementation(name: string, arch: string, calls: typeof bsdCalls = bsdCalls): Implementation {
  if (name === 'linux' && endianness() === 'LE') return { platform: linuxPlatform(), reader: linuxProcessReader() }
  const bsd = BSDS[name]
  if (bsd !== undefined && BSD_ARCHITECTURES.has(arch)) {
    const libc = calls()
    return { platform: bsdPlatform(bsd, libc), reader: bsdProcessReader(bsd, libc) }
  }
  throw new WarrenError(ErrorCode.Unsupported, `cannot read peer credentials on ${name} ${arch}`, {
    hint: 'warren runs on little-endian Linux; on macOS, FreeBSD and OpenBSD on x64 and arm64.'
  })
}
