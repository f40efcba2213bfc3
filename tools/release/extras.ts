import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** Files that the command line makes, for every package. They are the same for all architectures. */
export interface Extras {
  /** Contents by the path below /usr/share. */
  readonly files: Readonly<Record<string, string>>
  /** What the command line of this version does not make, in words. */
  readonly missing: readonly string[]
}

export const ZSH_COMPLETIONS = 'zsh/site-functions'

/** Where shells look for completions, below /usr/share. */
const COMPLETIONS: Readonly<Record<string, string>> = {
  bash: 'bash-completion/completions/warren',
  zsh: `${ZSH_COMPLETIONS}/_warren`,
  fish: 'fish/vendor_completions.d/warren.fish'
}

/** Writes the manual pages of all commands into the directory of `--out`. */
const MANUAL = ['tools', 'man', 'main.ts']

export interface ExtrasOptions {
  readonly root: string
  readonly work: string
  readonly epochSeconds: number
}

/**
 * Collects what `warren completion SHELL` prints, and the manual pages. Whatever else the command line makes for all packages
 * belongs here. What this version does not make is left out.
 */
export function collectExtras({ root, work, epochSeconds }: ExtrasOptions): Extras {
  const env = { ...process.env, SOURCE_DATE_EPOCH: String(epochSeconds) }
  const output = (...command: readonly string[]): string | undefined => {
    const { status, stdout } = spawnSync(process.execPath, command, { encoding: 'utf8', cwd: root, env })
    return status === 0 ? stdout : undefined
  }
  const files: Record<string, string> = {}
  const missing: string[] = []
  for (const [shell, path] of Object.entries(COMPLETIONS)) {
    const script = output(join(root, 'bin', 'warren.js'), 'completion', shell)
    if (script === undefined) missing.push(`completion for ${shell}`)
    else files[path] = script
  }
  const pages = join(work, 'man')
  mkdirSync(pages)
  if (output(join(root, ...MANUAL), '--out', pages) === undefined) missing.push('manual pages')
  for (const page of readdirSync(pages))
    files[`man/man${page.at(-1)}/${page}`] = readFileSync(join(pages, page), 'utf8')
  return { files, missing }
}
