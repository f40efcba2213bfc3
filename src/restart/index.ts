import { Handover, type HandoverOptions } from './handover.ts'
import { takeStored } from './stored.ts'

export type { Handover } from './handover.ts'
export { Restart, type UpgradeCaller, type UpgradeOutcome } from './restart.ts'

/** Undefined where a process cannot be replaced: another system, no native code. */
export async function openHandover(env: HandoverOptions['env']): Promise<Handover | undefined> {
  const calls = await import('./calls.ts').then(({ linuxCalls }) => linuxCalls()).catch(() => undefined)
  if (calls === undefined || process.execve === undefined) return undefined
  const others = { ...env }
  const stored = takeStored(others)
  return new Handover({ calls, env: others, stored })
}
