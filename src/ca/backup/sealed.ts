import { createCipheriv, createDecipheriv, createHmac, randomBytes, scrypt, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'
import { ErrorCode, WarrenError } from '../../core/index.ts'

/** The purpose of a sealed file; it is authenticated, so that one kind never passes for another. */
export const SealedKind = { Backup: 1, RootKey: 2 } as const
export type SealedKind = (typeof SealedKind)[keyof typeof SealedKind]

/** Shortest passphrase for sealing a file, in characters: an attacker with the file may guess for years. */
export const MIN_PASSPHRASE = 12
const MAX_PASSPHRASE = 1_024
/** Longest sealed file that is opened or made: an answer of the local API holds it twice in memory. */
export const MAX_SEALED_BYTES = 32 * 1024 * 1024

// The last byte is the version. The cost is part of it, so that no file can demand the memory of the whole machine.
const MAGIC = Buffer.from('warren\0\x01', 'latin1')
// As strong as N = 2^17, p = 1, in half of the memory (64 MiB):
// https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html#scrypt
const COST = Object.freeze({ N: 2 ** 16, r: 8, p: 2, maxmem: 80 * 1024 * 1024 })
const KIND_AT = MAGIC.length
const SALT_AT = KIND_AT + 1
const NONCE_AT = SALT_AT + 32
const CHECK_AT = NONCE_AT + 12
const HEADER_BYTES = CHECK_AT + 32
const TAG_BYTES = 16

/** Whether `seal` made a file of this kind that begins with these bytes. */
export function isSealed(kind: SealedKind, head: Uint8Array): boolean {
  return MAGIC.equals(head.subarray(0, KIND_AT)) && head[KIND_AT] === kind
}

const NAMES = { [SealedKind.Backup]: 'backup', [SealedKind.RootKey]: 'root key' }
const derive = promisify<Buffer, Buffer, number, typeof COST, Buffer>(scrypt)

/**
 * Encrypts under a passphrase: scrypt, then AES-256-GCM with the whole header authenticated.
 *
 * Throws INVALID_ARGUMENT for a passphrase that is too short or too long, MESSAGE_TOO_LARGE for content above the limit.
 */
export async function seal(kind: SealedKind, content: Uint8Array, passphrase: string): Promise<Buffer> {
  if ([...passphrase].length < MIN_PASSPHRASE || passphrase.length > MAX_PASSPHRASE) {
    throw new WarrenError(
      ErrorCode.InvalidArgument,
      `a passphrase has ${MIN_PASSPHRASE} to ${MAX_PASSPHRASE} characters`
    )
  }
  if (content.length > MAX_SEALED_BYTES - HEADER_BYTES - TAG_BYTES) {
    throw new WarrenError(ErrorCode.MessageTooLarge, `${content.length} bytes are more than a ${NAMES[kind]} holds`)
  }
  const salted = Buffer.concat([
    MAGIC,
    Buffer.of(kind),
    randomBytes(NONCE_AT - SALT_AT),
    randomBytes(CHECK_AT - NONCE_AT)
  ])
  const { key, check } = await keysOf(salted, passphrase)
  const header = Buffer.concat([salted, check])
  const cipher = createCipheriv('aes-256-gcm', key, header.subarray(NONCE_AT, CHECK_AT), { authTagLength: TAG_BYTES })
  cipher.setAAD(header)
  return Buffer.concat([header, cipher.update(content), cipher.final(), cipher.getAuthTag()])
}

/**
 * The content of a sealed file; none of it is read before all of it is authenticated.
 *
 * Throws FILE_DAMAGED for a file that is not a sealed file of this kind or was changed, PASSPHRASE_WRONG.
 */
export async function unseal(kind: SealedKind, file: Uint8Array, passphrase: string): Promise<Buffer> {
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.byteLength)
  if (bytes.length < MAGIC.length || !bytes.subarray(0, KIND_AT).equals(MAGIC))
    throw damaged(`the file is not a ${NAMES[kind]}`)
  if (bytes[KIND_AT] !== kind) {
    const other = Object.entries(NAMES).find(([known]) => Number(known) === bytes[KIND_AT])?.[1]
    throw damaged(`the file is not a ${NAMES[kind]}${other === undefined ? '' : `; it holds a ${other}`}`)
  }
  if (bytes.length < HEADER_BYTES + TAG_BYTES) throw damaged('the file is cut off')
  if (bytes.length > MAX_SEALED_BYTES) throw damaged('the file is too large')
  const header = bytes.subarray(0, HEADER_BYTES)
  const { key, check } = await keysOf(header.subarray(0, CHECK_AT), passphrase)
  if (!timingSafeEqual(check, header.subarray(CHECK_AT))) {
    throw new WarrenError(ErrorCode.PassphraseWrong, `the passphrase does not open this ${NAMES[kind]}`, {
      hint: 'If it is right, the first 85 bytes of the file were changed: take another copy.'
    })
  }
  const decipher = createDecipheriv('aes-256-gcm', key, header.subarray(NONCE_AT, CHECK_AT), {
    authTagLength: TAG_BYTES
  })
  decipher.setAAD(header)
  decipher.setAuthTag(bytes.subarray(-TAG_BYTES))
  try {
    return Buffer.concat([decipher.update(bytes.subarray(HEADER_BYTES, -TAG_BYTES)), decipher.final()])
  } catch (cause) {
    throw damaged('the passphrase is right, but the file was changed or cut off since it was written', cause)
  }
}

// The check distinguishes a wrong passphrase from a changed file. It also binds the file to one key, which GCM alone does not.
async function keysOf(salted: Buffer, passphrase: string): Promise<{ key: Buffer; check: Buffer }> {
  // The same text can be typed as different sequences of code points.
  const typed = Buffer.from(passphrase.normalize('NFKC'), 'utf8')
  const derived = await derive(typed, salted.subarray(SALT_AT, NONCE_AT), 64, COST)
  const check = createHmac('sha256', derived.subarray(32)).update(salted).digest()
  return { key: derived.subarray(0, 32), check }
}

function damaged(reason: string, cause?: unknown): WarrenError {
  return new WarrenError(ErrorCode.FileDamaged, reason, { cause, hint: 'Take another copy of it.' })
}
