import { rmSync } from 'node:fs'
import type { TestContext } from 'node:test'
import { privateDirectory } from './temporary.ts'

/** Whatever a test started, so that it ends however the test does. */
export interface Scope {
  /** Runs `release` when the test ends: last deferred first, each even if another failed. */
  defer(release: () => unknown): void
  /** A new directory that goes with the test; its path is short, since a unix socket's path may not be long. */
  directory(): string
}

/** The scope of the test `t`, or of a file's tests if given the module's `after`. */
export function scopeOf(t: Pick<TestContext, 'after'>): Scope {
  const releases: Array<() => unknown> = []
  t.after(async () => {
    const failures: unknown[] = []
    for (const release of releases.reverse()) {
      try {
        await release()
      } catch (err) {
        failures.push(err)
      }
    }
    if (failures.length > 0) throw new AggregateError(failures, 'cleaning up failed')
  })
  const defer = (release: () => unknown): void => {
    releases.push(release)
  }
  return {
    defer,
    directory: () => {
      const path = privateDirectory('wt-')
      defer(() => rmSync(path, { recursive: true, force: true, maxRetries: 3 }))
      return path
    }
  }
}
