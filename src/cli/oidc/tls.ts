import { readFileSync, statSync } from 'node:fs'
import { createSecureContext } from 'node:tls'
import { ErrorCode, fileFault, WarrenError } from '../../core/index.ts'

/** A chain of certificates and its key, in PEM. */
export interface Certificate {
  readonly cert: Buffer
  readonly key: Buffer
}

/** A certificate of files, which whoever renews it writes anew. */
export class CertificateFiles {
  readonly #paths: readonly [cert: string, key: string]
  #seen: string

  constructor(certPath: string, keyPath: string) {
    this.#paths = [certPath, keyPath]
    this.#seen = this.#versions()
  }

  /** Throws INVALID_OPTION for files that cannot be read, or are no certificate and its key. */
  read(): Certificate {
    const [cert, key] = this.#paths.map(readFile) as [Buffer, Buffer]
    try {
      createSecureContext({ cert, key })
    } catch (cause) {
      throw new WarrenError(ErrorCode.InvalidOption, `${this.#paths.join(' and ')} are no certificate and its key`, {
        hint: 'Give the whole chain and the key, both in PEM, as in fullchain.pem and privkey.pem.',
        cause
      })
    }
    return { cert, key }
  }

  /** The certificate, if a file has changed since the last call, and they fit. Throws as `read`, once for each change. */
  changed(): Certificate | undefined {
    const now = this.#versions()
    if (now === this.#seen) return undefined
    this.#seen = now
    return this.read()
  }

  #versions(): string {
    return this.#paths
      .map(path => {
        const stat = statSync(path, { throwIfNoEntry: false })
        return `${stat?.ino} ${stat?.mtimeMs} ${stat?.size}`
      })
      .join()
  }
}

function readFile(path: string): Buffer {
  try {
    return readFileSync(path)
  } catch (cause) {
    const { why, hint } = fileFault(path, cause)
    throw new WarrenError(ErrorCode.InvalidOption, `cannot read ${path}: ${why}`, { cause, hint })
  }
}
