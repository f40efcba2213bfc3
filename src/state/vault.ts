import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { claimDirectory } from '../core/index.ts'
import { lost } from './cure.ts'
import { readIfPresent, removeFile, replaceFile } from './files.ts'
import { Manifest } from './manifest.ts'
import { DATABASE, MANIFEST, VaultFile } from './names.ts'

export { VaultFile } from './names.ts'

// One of them is in every directory that an agent has ever used.
const MARKS: readonly string[] = [MANIFEST, DATABASE, VaultFile.NodeChain, VaultFile.RenewedNode, VaultFile.TrustBundle]

/** The files of a state directory: whole-file reads and durable whole-file writes. */
export class Vault {
  readonly directory: string
  readonly manifest: Manifest

  /** Makes the directory if needed. Throws STATE_UNUSABLE if it is not ours alone, or has other files in it. */
  constructor(directory: string) {
    const was = claimDirectory(directory, {
      what: 'the state directory',
      mode: 0o700,
      isOurs: names => MARKS.some(mark => names.includes(mark)),
      option: '--state-dir'
    })
    this.directory = directory
    this.manifest = new Manifest(join(directory, MANIFEST))
    if (was !== 'ours') this.manifest.begin([])
  }

  /** The vault in a directory that an agent has used; undefined if there is none, and then nothing is made. */
  static existing(directory: string): Vault | undefined {
    return MARKS.some(mark => existsSync(join(directory, mark))) ? new Vault(directory) : undefined
  }

  path(name: string): string {
    return join(this.directory, name)
  }

  has(name: VaultFile): boolean {
    return existsSync(this.path(name))
  }

  read(name: VaultFile): Buffer | undefined {
    return readIfPresent(this.path(name))
  }

  /** The content of a file that must be there. Throws STATE_UNUSABLE. */
  require(name: VaultFile): Buffer {
    const content = this.read(name)
    if (content === undefined) throw lost(this, name)
    return content
  }

  /** Removes a file; the directory no longer lists it when this returns. */
  remove(name: VaultFile): void {
    this.manifest.drop(name)
    removeFile(this.path(name))
  }

  write(name: VaultFile, content: Uint8Array | string): void {
    replaceFile(this.path(name), content)
    this.manifest.add(name)
  }
}
