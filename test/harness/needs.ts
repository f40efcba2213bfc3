import { execFileSync } from 'node:child_process'
import type { TestContext } from 'node:test'

/**
 * Whether `npm run test:long` runs: then tests whose rounds and bytes are a choice take as many as their guarantee names, and
 * otherwise as many as find a fault that is there.
 */
export const IS_LONG = process.env['TEST_LONG'] === 'yes'

/** The options of a test that only root can run: for others it is skipped, and the report says why. */
export const asRoot: { skip: string | false } = {
  skip: process.getuid?.() === 0 ? false : 'needs root, for network namespaces and other users'
}

/** Whether this process is root; otherwise skips `t` and says why. */
export function needsRoot(t: TestContext): boolean {
  if (asRoot.skip === false) return true
  t.skip(asRoot.skip)
  return false
}

/** Whether `command` is installed; otherwise skips `t` and says why. */
export function needsCommand(t: TestContext, command: string): boolean {
  if (isInstalled(command)) return true
  t.skip(`needs ${command}, which is not installed`)
  return false
}

export function isInstalled(command: string): boolean {
  try {
    execFileSync('/bin/sh', ['-c', `PATH=$PATH:/usr/sbin:/sbin command -v "$0"`, command], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
