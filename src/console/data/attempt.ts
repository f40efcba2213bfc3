import { WarrenError } from '../../core/index.ts'

/** The result of `call`; undefined if it fails, and then `problems` has a sentence about it. For parts of a page that do not need each other. */
export async function attempt<T>(what: string, problems: string[], call: () => Promise<T>): Promise<T | undefined> {
  try {
    return await call()
  } catch (err) {
    const { reason } = WarrenError.from(err)
    problems.push(`${what} cannot be shown: ${reason}`)
    return undefined
  }
}
