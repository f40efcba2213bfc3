import { execFileSync } from 'node:child_process'

/** The number of a user of this machine. */
export function userNamed(name: string): number {
  return Number(execFileSync('id', ['-u', name], { encoding: 'utf8' }))
}
