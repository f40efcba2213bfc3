import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'

/** It answers at once, or not at all. */
const ANSWER_MS = 3_000
const MAX_OUTPUT_BYTES = 1024 * 1024

/**
 * Whether systemd ends this process to start it again (`systemctl restart`), and keeps descriptors for it until then. False for a stop, for
 * any other signal, and where systemd does not answer.
 */
export async function isRestarting(env: NodeJS.ProcessEnv): Promise<boolean> {
  const unit = ownUnit(controlGroup())
  if (unit === undefined) return false
  const options = { env, timeout: ANSWER_MS, maxBuffer: MAX_OUTPUT_BYTES, killSignal: 'SIGKILL' } as const
  const ask = async (...args: readonly string[]): Promise<string> => {
    const { promise, resolve } = Promise.withResolvers<string>()
    const all = [...(unit.isOfUser ? ['--user'] : []), '--no-pager', ...args]
    execFile('systemctl', all, options, (failure, stdout) => resolve(failure === null ? stdout : ''))
    return await promise
  }
  const [jobs, room] = await Promise.all([
    ask('list-jobs', '--no-legend', '--plain'),
    ask('show', '--value', '--property', 'FileDescriptorStoreMax', unit.name)
  ])
  return Number(room) > 0 && hasRestartJob(jobs, unit.name)
}

/** Whether `systemctl list-jobs` shows that the unit is restarted: the lines have a number, the unit, the kind and the state. */
export function hasRestartJob(jobs: string, unit: string): boolean {
  return jobs
    .split('\n')
    .map(line => line.trim().split(/\s+/))
    .some(([, name, kind]) => name === unit && (kind === 'restart' || kind === 'try-restart'))
}

/** The unit of a process by its control group; undefined if that is of no service. */
export function ownUnit(group: string): { readonly name: string; readonly isOfUser: boolean } | undefined {
  const units = group.split('/').filter(part => part.endsWith('.service'))
  const name = units.at(-1)
  if (name === undefined) return undefined
  // A service of a user lies below the one that runs the manager of that user.
  return { name, isOfUser: units.length > 1 && /^user@\d+\.service$/.test(units[0] ?? '') }
}

function controlGroup(): string {
  try {
    const lines = readFileSync('/proc/self/cgroup', 'utf8').trim().split('\n')
    // Version 2, or the one of systemd beside version 1.
    const own = lines.find(line => line.startsWith('0::')) ?? lines.find(line => line.includes(':name=systemd:'))
    return own?.replace(/^\d+:[^:]*:/, '') ?? ''
  } catch {
    return ''
  }
}
