import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { ErrorCode, WarrenError } from '../../core/index.ts'

const HOOK_MS = 60_000

/**
 * Runs a command of the user's in a shell, its output on standard error, and waits for its end.
 *
 * Rejects with HOOK_FAILED when it fails or takes longer than a minute.
 */
export async function runHook(command: string, environment: Readonly<Record<string, string>>): Promise<void> {
  const child = spawn('/bin/sh', ['-c', command], {
    env: { ...process.env, ...environment },
    stdio: ['ignore', 2, 2],
    timeout: HOOK_MS
  })
  const [code, signal] = (await once(child, 'exit')) as [number | null, string | null]
  if (code === 0) return
  throw new WarrenError(ErrorCode.HookFailed, `--exec ended with ${signal ?? `code ${code}`}: ${command.slice(0, 200)}`)
}
