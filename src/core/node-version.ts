import { ErrorCode, WarrenError } from './errors.ts'

/** Throws UNSUPPORTED unless this is Node `major` or later, or a program that says it is compatible with that. */
export function requireNode(major: number, what: string, version: string = process.versions.node): void {
  if (Number.parseInt(version, 10) >= major) return
  throw new WarrenError(ErrorCode.Unsupported, `${what} needs Node ${major} or later, this is ${version}`)
}
