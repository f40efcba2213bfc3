import { type Scope, scopeOf } from '../test/harness/index.ts'

/** Uses a scope that ends with what it was used for. */
export async function withScope<T>(use: (scope: Scope) => Promise<T>): Promise<T> {
  const releases: Array<() => Promise<void>> = []
  const scope = scopeOf({ after: release => releases.push(release as () => Promise<void>) })
  try {
    return await use(scope)
  } finally {
    for (const release of releases) await release()
  }
}
