import { execFile } from 'node:child_process'
import { createPublicKey } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ErrorCode, fileFault, WarrenError } from '../../core/index.ts'
import { askHidden } from '../options/index.ts'

/** A key on a PKCS#11 device, as RFC 7512 names it. */
export interface DeviceKey {
  readonly token: string
  /** Of the object, in hex; or its label. */
  readonly id: string | undefined
  readonly object: string | undefined
}

/** The program of OpenSC that loads the library of the device: a library in this process could do whatever we can. */
const TOOL = 'pkcs11-tool'
const TOOL_MS = 45_000
/** `pkcs11-tool` gives a device so much at a time, and Ed25519 takes a message at once. */
export const MAX_SIGNED_BYTES = 1_024
const SIGNATURE_BYTES = 64
const MAX_OUTPUT_BYTES = 16 * 1024
const MAX_PIN_BYTES = 256
const PIN_VARIABLE = 'WARREN_PKCS11_PIN'

/** Reads what follows "pkcs11:". Throws INVALID_OPTION. */
export function parseDeviceKey(text: string): DeviceKey {
  const attributes = new Map<string, string>()
  for (const attribute of text.split(';')) {
    const [name = '', ...value] = attribute.split('=')
    // No module: the URI comes from the agent later, and would have a library of its choice run with the rights of the person.
    if (!['token', 'id', 'object'].includes(name) || attributes.has(name)) throw unusable(`"${name.slice(0, 32)}"`)
    attributes.set(name, value.join('='))
  }
  const [token, id, object] = ['token', 'id', 'object'].map(name => attributes.get(name))
  if (token === undefined || token === '') throw unusable('no token')
  if ((id === undefined) === (object === undefined)) throw unusable('not one of id and object')
  return { token: decoded(token), id: id && hexOf(id), object: object && decoded(object) }
}

/** The raw public half of the key. Throws NOT_FOUND, or UNSUPPORTED for another kind of key. */
export async function devicePublicKey(key: DeviceKey): Promise<Uint8Array> {
  return await withFiles(async ({ output }) => {
    await run([...selecting(key), '--read-object', '--type', 'pubkey', '--output-file', output])
    const bytes = contentOf(output)
    try {
      const isPem = bytes.includes('-----BEGIN')
      const found = createPublicKey(isPem ? bytes.toString() : { key: bytes, format: 'der', type: 'spki' })
      const { x, crv } = found.export({ format: 'jwk' })
      if (crv === 'Ed25519' && x !== undefined) return Buffer.from(x, 'base64url')
    } catch (cause) {
      throw notEd25519(cause)
    }
    throw notEd25519()
  })
}

/** Has the device sign. Throws NOT_FOUND, PERMISSION_DENIED, LIMIT_EXCEEDED or INVALID_ARGUMENT. */
export async function deviceSign(key: DeviceKey, bytes: Uint8Array, pin: string): Promise<Uint8Array> {
  if (bytes.length > MAX_SIGNED_BYTES) {
    throw new WarrenError(
      ErrorCode.LimitExceeded,
      `the device signs ${MAX_SIGNED_BYTES} bytes at most, and this has ${bytes.length}`,
      { hint: 'Let this key add and remove admins, and state rules by a key in ssh-agent: see docs/admins.md.' }
    )
  }
  return await withFiles(async ({ input, output }) => {
    writeFileSync(input, bytes)
    const what = ['--login', '--pin', `env:${PIN_VARIABLE}`, '--sign', '--mechanism', 'EDDSA']
    await run([...selecting(key), ...what, '--input-file', input, '--output-file', output], pin)
    const signature = contentOf(output)
    if (signature.length === SIGNATURE_BYTES) return signature
    throw new WarrenError(ErrorCode.MessageMalformed, `${TOOL} gives a signature of ${signature.length} bytes`)
  })
}

/** The PIN of a device: the first line of a file that the person names, or what is typed. Throws INVALID_ARGUMENT. */
export async function readPin(token: string, env: NodeJS.ProcessEnv = process.env): Promise<string> {
  const file = env['WARREN_PKCS11_PIN_FILE']
  if (file === undefined || file === '') {
    if (process.stdin.isTTY) return await askHidden(`PIN of ${token}: `)
    throw new WarrenError(ErrorCode.InvalidArgument, 'there is no terminal to read the PIN from', {
      hint: 'Set WARREN_PKCS11_PIN_FILE to a file whose first line it is.'
    })
  }
  try {
    if (statSync(file).size <= MAX_PIN_BYTES) return readFileSync(file, 'utf8').split(/\r?\n/, 1)[0] ?? ''
  } catch (cause) {
    const { why, hint } = fileFault(file, cause)
    throw new WarrenError(ErrorCode.InvalidArgument, `cannot read the PIN in ${file}: ${why}`, { cause, hint })
  }
  throw new WarrenError(ErrorCode.InvalidArgument, `the PIN in ${file} is too long`)
}

function selecting({ token, id, object = '' }: DeviceKey): string[] {
  const module = process.env['WARREN_PKCS11_MODULE']
  const named = module === undefined || module === '' ? [] : ['--module', module]
  return [...named, '--token-label', token, ...(id === undefined ? ['--label', object] : ['--id', id])]
}

// The PIN is in the environment of the child, which only the same user can read, and on no command line.
async function run(args: readonly string[], pin?: string): Promise<void> {
  const env = { ...process.env, ...(pin !== undefined && { [PIN_VARIABLE]: pin }) }
  const options = { env, timeout: TOOL_MS, maxBuffer: MAX_OUTPUT_BYTES, encoding: 'utf8' } as const
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const child = execFile(TOOL, args, options, (err, _stdout, stderr) => {
    if (err === null) resolve()
    else reject(failure(err, stderr))
  })
  child.stdin?.end()
  await promise
}

function failure(cause: Error & { readonly code?: unknown }, stderr: string): WarrenError {
  if (cause.code === 'ENOENT') {
    return new WarrenError(ErrorCode.NotFound, `${TOOL} is not installed, and keys on a device need it`, {
      cause,
      hint: 'Install OpenSC, for example with `apt install opensc`, and the library of the device.'
    })
  }
  const why = stderr.split('\n').find(line => line.trim() !== '' && !line.startsWith('Using ')) ?? 'it was ended'
  const isPin = /CKR_PIN|CKR_USER_NOT_LOGGED_IN/.test(stderr)
  return new WarrenError(isPin ? ErrorCode.PermissionDenied : ErrorCode.NotFound, `${TOOL}: ${why.slice(0, 200)}`, {
    cause,
    hint: isPin
      ? 'Try again with the PIN of the user. A device locks itself after a few wrong ones.'
      : 'WARREN_PKCS11_MODULE names the library of the device; `pkcs11-tool --module LIBRARY --list-objects` lists what it has.'
  })
}

async function withFiles<T>(
  use: (files: { readonly input: string; readonly output: string }) => Promise<T>
): Promise<T> {
  const directory = mkdtempSync(join(tmpdir(), 'warren-key-'))
  try {
    return await use({ input: join(directory, 'in'), output: join(directory, 'out') })
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

function contentOf(path: string): Buffer {
  if (statSync(path).size <= MAX_OUTPUT_BYTES) return readFileSync(path)
  throw new WarrenError(ErrorCode.MessageMalformed, `${TOOL} writes too much`)
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch (cause) {
    throw unusable(`"${text.slice(0, 32)}"`, cause)
  }
}

// Each byte of an id is written as "%01".
function hexOf(text: string): string {
  if (!/^(%[0-9a-f]{2}){1,32}$/i.test(text)) throw unusable(`the id "${text.slice(0, 32)}"`)
  return text.replaceAll('%', '').toLowerCase()
}

function unusable(what: string, cause?: unknown): WarrenError {
  return new WarrenError(ErrorCode.InvalidOption, `the URI of a key on a device has ${what}`, {
    cause,
    hint: 'It names a token, and an id or an object: pkcs11:token=bob;id=%01. WARREN_PKCS11_MODULE names the library.'
  })
}

function notEd25519(cause?: unknown): WarrenError {
  return new WarrenError(ErrorCode.Unsupported, 'the key on the device is no Ed25519 key', {
    cause,
    hint: 'Make one: pkcs11-tool --module LIBRARY --login --keypairgen --key-type EC:edwards25519 --label NAME --id 01'
  })
}
