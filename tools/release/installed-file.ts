/** A file of an installed warren. */
export interface InstalledFile {
  /** Below the root directory, without a slash at its beginning. */
  readonly path: string
  readonly mode: number
  readonly bytes: Buffer
}
