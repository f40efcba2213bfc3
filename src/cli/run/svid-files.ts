import type { AgentClient } from '../../client/index.ts'
import { raceAbort } from '../../core/index.ts'
import { follow, SvidDirectory } from '../svid/index.ts'
import { type PrivateDirectory, privateDirectory } from './private-directory.ts'

/** Files of an identity for one command, written again at each renewal, and removed with `remove`. */
export class SvidFiles {
  readonly #directory: PrivateDirectory
  readonly #over = new AbortController()

  private constructor(directory: PrivateDirectory) {
    this.#directory = directory
  }

  get path(): string {
    return this.#directory.path
  }

  /** Resolves once the files are there. */
  static async write(
    client: AgentClient,
    spiffeId: string,
    say: (text: string) => void,
    signal: AbortSignal
  ): Promise<SvidFiles> {
    const files = new SvidFiles(privateDirectory())
    const written = Promise.withResolvers<void>()
    files.#follow(client, spiffeId, say, written.resolve).catch((err: unknown) => {
      written.reject(err)
      say(`the files of the certificate are no longer renewed: ${String(err)}`)
    })
    try {
      await raceAbort(written.promise, signal)
      return files
    } catch (err) {
      files.remove()
      throw err
    }
  }

  remove(): void {
    this.#over.abort()
    this.#directory.remove()
  }

  async #follow(client: AgentClient, spiffeId: string, say: (text: string) => void, onWritten: () => void) {
    const directory = new SvidDirectory(this.path)
    const { signal } = this.#over
    for await (const svid of follow(client, spiffeId, { wait: true, say, signal })) {
      if (signal.aborted) return
      directory.write(svid)
      onWritten()
    }
  }
}
