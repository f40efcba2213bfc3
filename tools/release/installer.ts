import { createPublicKey, type KeyObject } from 'node:crypto'
import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const PLACE = "RELEASE_KEY=''"

export interface InstallerOptions {
  readonly root: string
  readonly file: string
  /** The key that signs the release. Without it, whoever installs must give its public half. */
  readonly key: KeyObject | undefined
}

/** Writes install.sh with the public key of the builder in it: for who gets newer releases by it, from whatever mirror. */
export function writeInstaller({ root, file, key }: InstallerOptions): void {
  const script = readFileSync(join(root, 'packaging', 'install.sh'), 'utf8')
  if (!script.includes(PLACE)) throw new Error(`packaging/install.sh has no line ${PLACE}`)
  const der = key === undefined ? '' : createPublicKey(key).export({ type: 'spki', format: 'der' }).toString('base64')
  writeFileSync(file, script.replace(PLACE, `RELEASE_KEY='${der}'`))
  chmodSync(file, 0o755)
}
