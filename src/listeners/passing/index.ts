import type { PassingCalls } from './calls.ts'

export type { PassingCalls } from './calls.ts'
export { type PassedSocket, takePassed } from './passed.ts'

let loading: Promise<PassingCalls | undefined> | undefined

/** The system calls that pass descriptors; undefined where they are not possible: another system, or no native code. */
export async function loadPassing(): Promise<PassingCalls | undefined> {
  // With native code, which others must not pay for.
  loading ??= import('./calls.ts').then(({ linuxCalls }) => linuxCalls()).catch(() => undefined)
  return await loading
}
