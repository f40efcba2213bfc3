import { execFileSync } from 'node:child_process'

/** Where and how a program runs. */
export interface RunOptions {
  readonly cwd?: string
  readonly env?: NodeJS.ProcessEnv
}

/** Runs a program to its end, and returns what it printed. Throws, with its last words, when it fails or is missing. */
export function run(command: string, args: readonly string[], { cwd, env }: RunOptions = {}): string {
  try {
    return execFileSync(command, [...args], {
      ...(cwd !== undefined && { cwd }),
      env: { ...process.env, ...env },
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
      maxBuffer: 64 * 1024 * 1024
    })
  } catch (err) {
    const { code, stderr, message } = err as Error & { readonly code?: string; readonly stderr?: string }
    if (code === 'ENOENT') throw new Error(`${command} is missing; install it and run this again`)
    throw new Error(`${command} failed: ${(stderr ?? '').trim().split('\n').slice(-5).join('\n') || message}`)
  }
}
