import { closeSync, openSync, writeSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { getRawAsset } from 'node:sea'

// Not among Node's constants (include/uapi/asm-generic/fcntl.h); the same on x86 and ARM, where O_DIRECTORY differs.
const O_TMPFILE = process.arch === 'arm64' ? 0o20040000 : 0o20200000
const O_RDWR = 2
// include/uapi/linux/memfd.h. MFD_EXEC: from Linux 6.3 on an operator may forbid execution for whoever does not ask.
const MFD_CLOEXEC = 1
const MFD_EXEC = 0x10

interface ForeignFunctions {
  readonly dlopen: (
    library: null,
    functions: Readonly<Record<string, { readonly arguments: readonly string[]; readonly return: string }>>
  ) => { readonly functions: Readonly<Record<string, (...values: unknown[]) => number>> }
}

/**
 * Loads native code that lies in this executable, without a file that another process could find or change.
 *
 * It is written to anonymous memory or, where that may not be executed, to a file without a name in a directory of this
 * user. Throws if both fail.
 */
export function loadAddon(name: string): unknown {
  const failures: unknown[] = []
  for (const open of [inMemory, withoutName]) {
    try {
      return load(open(name), name)
    } catch (err) {
      failures.push(err)
    }
  }
  throw new AggregateError(failures, `the native code of ${name} cannot be loaded: ${failures.join('; ')}`)
}

function load(fd: number, name: string): unknown {
  try {
    const bytes = new Uint8Array(getRawAsset(`${name}.node`))
    for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at)
    const module = { exports: {} }
    process.dlopen(module, `/proc/self/fd/${fd}`)
    return module.exports
  } finally {
    closeSync(fd)
  }
}

function inMemory(name: string): number {
  const ffi = process.getBuiltinModule('node:ffi' as 'node:fs') as unknown as ForeignFunctions
  const { functions } = ffi.dlopen(null, { memfd_create: { arguments: ['string', 'u32'], return: 'i32' } })
  const create = (flags: number): number => functions['memfd_create']?.(`warren-${name}`, flags) ?? -1
  const fd = create(MFD_CLOEXEC | MFD_EXEC)
  // Linux before 6.3 does not know the second flag.
  const old = fd < 0 ? create(MFD_CLOEXEC) : fd
  if (old < 0) throw new Error('no anonymous memory (memfd_create)')
  return old
}

function withoutName(): number {
  const failures: unknown[] = []
  for (const directory of directories()) {
    try {
      return openSync(directory, O_TMPFILE | O_RDWR, 0o700)
    } catch (err) {
      failures.push(err)
    }
  }
  throw new Error(`no file without a name: ${failures.join('; ')}`)
}

function directories(): string[] {
  const { WARREN_STATE_DIR, STATE_DIRECTORY, XDG_RUNTIME_DIR } = process.env
  return [WARREN_STATE_DIR, STATE_DIRECTORY, XDG_RUNTIME_DIR, homedir(), tmpdir()].filter(
    directory => directory !== undefined && directory !== ''
  ) as string[]
}
