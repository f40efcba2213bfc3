import { SCRIPTS, type Shell } from '../../src/cli/completion/index.ts'
import type { InstalledFile } from './installed-file.ts'

/** Where each shell looks for the scripts of packages. */
const PATHS: Readonly<Record<Shell, string>> = {
  bash: 'usr/share/bash-completion/completions/warren',
  zsh: 'usr/share/zsh/vendor-completions/_warren',
  fish: 'usr/share/fish/vendor_completions.d/warren.fish'
}

/** The scripts that `warren completion` prints, where a package of Debian installs them. */
export function completions(): InstalledFile[] {
  const shells = Object.keys(PATHS) as Shell[]
  return shells.map(shell => ({ path: PATHS[shell], mode: 0o644, bytes: Buffer.from(SCRIPTS[shell]) }))
}
