import type { SpiffeHandlers, SpiffeSocketHandlers } from '../../src/api/index.ts'

const never = new Promise<void>(() => {})

/** All handlers of a spiffe.sock: those given, and none for the rest. */
export function spiffeSocket(
  workloadApi: Partial<SpiffeHandlers>,
  rest: Partial<SpiffeSocketHandlers> = {}
): SpiffeSocketHandlers {
  return {
    workloadApi: workloadApi as SpiffeHandlers,
    secrets: {} as SpiffeSocketHandlers['secrets'],
    isServing: () => true,
    changed: () => never,
    ...rest
  }
}
