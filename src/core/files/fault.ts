import { type Stats, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { kindOf, systemCode } from './kind.ts'

/** A failure of the file system, for people. */
export interface FileFault {
  /** One clause, with the system's name of the failure: "the disk is full (ENOSPC)". */
  readonly why: string
  /** One sentence: what to do about it. */
  readonly hint: string
}

type Words = Readonly<Record<string, readonly [why: string, hint: string]>>

const WORDS: Words = {
  EACCES: ['this user may not', 'Run this as a user that may, or choose another path.'],
  EPERM: ['this user may not', 'Run this as a user that may, or choose another path.'],
  EROFS: ['the file system is read-only', 'Mount it writable, or choose another path.'],
  ENOSPC: ['the disk is full', 'Free some space; nothing was changed.'],
  EDQUOT: ['the quota of this user is used up', 'Free some space; nothing was changed.'],
  EEXIST: ['it exists and is not a directory', 'Choose another path, or remove it.'],
  EISDIR: ['it is a directory', 'Choose the path of a file.'],
  ELOOP: ['it is a symbolic link, or links lead in a circle', 'Choose the path that it leads to.'],
  ENAMETOOLONG: ['the path is too long', 'Choose a shorter one.'],
  EMFILE: [
    'this process has no file descriptors left',
    'Allow it more: ulimit -n, or LimitNOFILE= of the systemd unit.'
  ],
  ENFILE: ['this system has no file descriptors left', 'Allow more: sysctl fs.file-max.'],
  EIO: ['the disk reports an error', 'Look into the log of the kernel (dmesg).'],
  ENOTSUP: ['the file system does not support that', 'Choose a path on another one.']
}

/** Says in words why an operation on `path` failed. The part of the path that is missing or is no directory is named. */
export function fileFault(path: string, cause: unknown): FileFault {
  const code = systemCode(cause)
  if (code === 'ENOENT' || code === 'ENOTDIR') return placeFault(path)
  const words = WORDS[code]
  if (words !== undefined) return { why: `${words[0]} (${code})`, hint: words[1] }
  // Of the system, with its code in front, or of a library.
  const text = cause instanceof Error ? cause.message.replace(/, \w+ '.*$/, '') : String(cause)
  return { why: text, hint: 'Choose another path, or correct what this says.' }
}

function lookAt(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false })
  } catch {
    // This user may not look: then nothing above it is wrong either.
    return undefined
  }
}

function placeFault(path: string): FileFault {
  const parent = dirname(path)
  const found = lookAt(parent)
  if (parent !== path && found === undefined) {
    const { why, hint } = placeFault(parent)
    return { why: why.replace(/^it does not exist/, `the directory ${parent} does not exist`), hint }
  }
  if (found !== undefined && !found.isDirectory()) {
    return { why: `${parent} is ${kindOf(found)} and not a directory (ENOTDIR)`, hint: 'Choose another path.' }
  }
  return { why: `it does not exist (ENOENT)`, hint: 'Make it, or choose another path.' }
}
