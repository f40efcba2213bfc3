import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'

const REQUIREMENT = 'aioquic==1.7.2'
const DIRECTORY = join(import.meta.dirname, '..', '..', '..', 'out', 'programs', 'aioquic')
/** The Python that has aioquic: QUIC and HTTP/3, which Debian 12 does not have. */
export const AIOQUIC_PYTHON: string = join(DIRECTORY, 'bin', 'python')

/** Installs it from the registry of Python, if it is not there. Returns why it could not. */
export function installAioquic(): string | undefined {
  if (existsSync(AIOQUIC_PYTHON)) return undefined
  try {
    mkdirSync(dirname(DIRECTORY), { recursive: true })
    execFileSync('python3', ['-m', 'venv', DIRECTORY], { stdio: 'pipe' })
    execFileSync(join(DIRECTORY, 'bin', 'pip'), ['install', '--quiet', REQUIREMENT], { stdio: 'pipe' })
    return undefined
  } catch (err) {
    rmSync(DIRECTORY, { recursive: true, force: true })
    return `cannot be installed here: ${String((err as { stderr?: string }).stderr ?? err).slice(-300)}`
  }
}
