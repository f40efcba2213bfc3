import type { KeyObject } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { ErrorCode, fileFault, WarrenError } from '../../core/index.ts'
import { devicePublicKey, deviceSign, parseDeviceKey, readPin } from './pkcs11.ts'
import { type SshKey, sshAgentSocket, sshKeys, sshSign } from './ssh-agent.ts'

/** A private key of a person, wherever it is. */
export interface KeySource {
  /** Public half, in the form of a PeerId. */
  readonly key: string
  /** Where it is, in the form that the agent keeps. */
  readonly uri: string
  readonly sign: (bytes: Uint8Array) => Promise<Uint8Array>
}

const MAX_FILE_BYTES = 16 * 1024
const OTHERS = 0o077

/**
 * The key that a URI names. `key`: its public half, if that is known; then it is the only one that is taken.
 *
 * Throws INVALID_OPTION, NOT_FOUND or PERMISSION_DENIED.
 */
export async function openKey(uri: string, key?: string): Promise<KeySource> {
  const [scheme = '', rest = ''] = splitAtColon(uri)
  switch (scheme) {
    case 'ssh-agent':
      return await inSshAgent(rest, key)
    case 'file':
      return await inFile(resolve(rest), key)
    case 'pkcs11':
      return await onDevice(rest, key)
    default:
      throw new WarrenError(ErrorCode.InvalidOption, `"${uri.slice(0, 64)}" names no place of a key`, {
        hint: 'As in ssh-agent:SHA256:…, ssh-agent:COMMENT, file:/media/stick/bob.pem or pkcs11:token=bob;id=%01.'
      })
  }
}

function splitAtColon(uri: string): readonly [string, string] {
  const at = uri.indexOf(':')
  return at < 0 ? [uri, ''] : [uri.slice(0, at), uri.slice(at + 1)]
}

async function inSshAgent(which: string, key: string | undefined): Promise<KeySource> {
  const { peerKeyOf } = await import('../../identity/index.ts')
  const socket = sshAgentSocket()
  const keys = await sshKeys(socket)
  const isWanted = (one: SshKey): boolean =>
    key === undefined ? which === '' || one.fingerprint === which || one.comment === which : peerKeyOf(one.key) === key
  const [found, other] = keys.filter(isWanted)
  if (found === undefined || other !== undefined) throw notOne(which, keys, found === undefined)
  return {
    key: peerKeyOf(found.key),
    uri: `ssh-agent:${found.fingerprint}`,
    sign: bytes => sshSign(socket, found.key, bytes)
  }
}

function notOne(which: string, keys: readonly SshKey[], isNone: boolean): WarrenError {
  const named = keys.slice(0, 8).map(({ fingerprint, comment }) => `${fingerprint} (${comment})`)
  const why = isNone ? `has no Ed25519 key ${which}` : 'has several Ed25519 keys'
  return new WarrenError(ErrorCode.NotFound, `ssh-agent ${why}`.trimEnd(), {
    hint:
      named.length === 0
        ? 'Make one with `ssh-keygen -t ed25519`, and add it with `ssh-add`.'
        : `It has ${named.join(', ')}: name one of them, or add the other with \`ssh-add\`.`
  })
}

async function inFile(path: string, key: string | undefined): Promise<KeySource> {
  const { keyFromPem, peerKeyOf, rawPublicKey, signRaw } = await import('../../identity/index.ts')
  const refused = (why: string, cause?: unknown): WarrenError =>
    new WarrenError(ErrorCode.InvalidOption, `cannot use the key in ${path}: ${why}`, {
      cause,
      hint: 'It is an Ed25519 key in PEM that nobody else can read: openssl genpkey -algorithm ed25519 -out FILE && chmod 600 FILE'
    })
  let found: KeyObject
  try {
    const { size, mode } = statSync(path)
    if (size > MAX_FILE_BYTES) throw refused('it is too long')
    if ((mode & OTHERS) !== 0) throw refused('other users may read it')
    found = keyFromPem(readFileSync(path))
  } catch (err) {
    if (err instanceof WarrenError) throw err
    throw refused(isSystemError(err) ? fileFault(path, err).why : 'it holds no private key in PEM', err)
  }
  if (found.asymmetricKeyType !== 'ed25519') throw refused('it is no Ed25519 key')
  const own = peerKeyOf(rawPublicKey(found))
  if (key !== undefined && own !== key) throw refused(`it is not the key of the admin of this host, ${key}`)
  return { key: own, uri: `file:${path}`, sign: async bytes => signRaw(found, bytes) }
}

async function onDevice(text: string, key: string | undefined): Promise<KeySource> {
  const { peerKeyOf } = await import('../../identity/index.ts')
  const wanted = parseDeviceKey(text)
  const own = peerKeyOf(await devicePublicKey(wanted))
  if (key !== undefined && own !== key) {
    throw new WarrenError(ErrorCode.NotFound, `the key on the device is not that of the admin of this host, ${key}`, {
      hint: 'Insert the device with that key, or set WARREN_PKCS11_MODULE to the library of that one.'
    })
  }
  let pin: string | undefined
  const sign = async (bytes: Uint8Array): Promise<Uint8Array> => {
    pin ??= await readPin(wanted.token)
    return await deviceSign(wanted, bytes, pin)
  }
  return { key: own, uri: `pkcs11:${text}`, sign }
}

function isSystemError(err: unknown): boolean {
  return err instanceof Error && 'syscall' in err
}
