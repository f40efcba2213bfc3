import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign } from 'node:crypto'
import { createReadStream, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'

const SUMS = 'SHA256SUMS'

/** Reads the key of the builder: an Ed25519 key in PEM. Throws what is wrong with it, and nothing of its content. */
export function readKey(file: string): KeyObject {
  let key: KeyObject
  try {
    key = createPrivateKey(readFileSync(file))
  } catch (err) {
    throw new Error(`${file} has no private key in PEM (${(err as NodeJS.ErrnoException).code ?? 'unreadable'})`)
  }
  if (key.asymmetricKeyType === 'ed25519') return key
  throw new Error(`${file} has a key of type ${key.asymmetricKeyType}; make one: openssl genpkey -algorithm ed25519`)
}

/**
 * Writes SHA256SUMS over `names` in `directory`, as sha256sum reads it, and with a key SHA256SUMS.sig, its Ed25519
 * signature of 64 bytes, and release.pub. Returns the files that it wrote.
 */
export async function writeSums(
  directory: string,
  names: readonly string[],
  key: KeyObject | undefined
): Promise<string[]> {
  const lines: string[] = []
  for (const name of [...names].sort()) lines.push(`${await sha256(join(directory, name))}  ${name}\n`)
  const sums = lines.join('')
  writeFileSync(join(directory, SUMS), sums)
  if (key === undefined) return [SUMS]
  writeFileSync(join(directory, `${SUMS}.sig`), sign(null, Buffer.from(sums), key))
  writeFileSync(join(directory, 'release.pub'), createPublicKey(key).export({ type: 'spki', format: 'pem' }))
  return [SUMS, `${SUMS}.sig`, 'release.pub']
}

async function sha256(file: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(file), hash)
  return hash.digest('hex')
}
