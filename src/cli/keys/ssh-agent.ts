import { createHash } from 'node:crypto'
import { connect } from 'node:net'
import { ErrorCode, raceAbort, WarrenError, within } from '../../core/index.ts'
import { FrameReader, malformed, SshReader, sshString } from './ssh-frames.ts'

// https://datatracker.ietf.org/doc/html/draft-ietf-sshm-ssh-agent
const REQUEST_IDENTITIES = 11
const IDENTITIES_ANSWER = 12
const SIGN_REQUEST = 13
const SIGN_RESPONSE = 14
const ED25519 = 'ssh-ed25519'
const KEY_BYTES = 32
const SIGNATURE_BYTES = 64
const MAX_KEYS = 1_024
const LIST_MS = 10_000
/** A person may have to confirm it. */
const SIGN_MS = 55_000

/** An Ed25519 key of an ssh-agent. */
export interface SshKey {
  /** Raw, 32 bytes. */
  readonly key: Uint8Array
  readonly comment: string
  /** As `ssh-add -l` shows it: SHA256:… */
  readonly fingerprint: string
}

/** The Ed25519 keys of the agent behind `socket`. Throws NOT_FOUND if nobody answers, or MESSAGE_MALFORMED. */
export async function sshKeys(socket: string): Promise<SshKey[]> {
  const answer = new SshReader(await ask(socket, Buffer.of(REQUEST_IDENTITIES), LIST_MS))
  if (answer.byte() !== IDENTITIES_ANSWER) throw malformed('it is no list of keys')
  const count = answer.uint32()
  if (count > MAX_KEYS) throw malformed('it has too many keys')
  const keys = Array.from({ length: count }, () => ({ blob: answer.string(), comment: answer.string().toString() }))
  answer.end()
  return keys.flatMap(({ blob, comment }) => {
    const key = ed25519In(blob)
    return key === undefined ? [] : [{ key, comment, fingerprint: fingerprintOf(blob) }]
  })
}

/** An Ed25519 signature over these bytes. Throws NOT_FOUND, PERMISSION_DENIED or MESSAGE_MALFORMED. */
export async function sshSign(socket: string, key: Uint8Array, bytes: Uint8Array): Promise<Uint8Array> {
  const flags = Buffer.alloc(4)
  const request = Buffer.concat([Buffer.of(SIGN_REQUEST), sshString(blobOf(key)), sshString(bytes), flags])
  const answer = new SshReader(await ask(socket, request, SIGN_MS))
  if (answer.byte() !== SIGN_RESPONSE) {
    throw new WarrenError(ErrorCode.PermissionDenied, 'ssh-agent does not sign with this key', {
      hint: 'It is locked, somebody has refused to confirm, or the key may be used for logins only: `ssh-add -l` lists the keys.'
    })
  }
  const signature = new SshReader(answer.string())
  answer.end()
  const kind = signature.string().toString()
  const raw = signature.string()
  signature.end()
  if (kind !== ED25519 || raw.length !== SIGNATURE_BYTES) throw malformed('it is no Ed25519 signature')
  return raw
}

/** Where the agent of the person is. Throws NOT_FOUND. */
export function sshAgentSocket(env: NodeJS.ProcessEnv = process.env): string {
  const socket = env['SSH_AUTH_SOCK']
  if (socket !== undefined && socket !== '') return socket
  throw new WarrenError(ErrorCode.NotFound, 'there is no ssh-agent here: SSH_AUTH_SOCK is not set', {
    hint: 'Log in with `ssh -A`, or start one: eval "$(ssh-agent)" && ssh-add. With sudo: sudo --preserve-env=SSH_AUTH_SOCK warren …'
  })
}

function blobOf(key: Uint8Array): Buffer {
  return Buffer.concat([sshString(ED25519), sshString(key)])
}

function ed25519In(blob: Uint8Array): Uint8Array | undefined {
  const reader = new SshReader(blob)
  if (reader.string().toString() !== ED25519) return undefined
  const key = reader.string()
  reader.end()
  return key.length === KEY_BYTES ? Uint8Array.from(key) : undefined
}

function fingerprintOf(blob: Uint8Array): string {
  return `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`
}

async function ask(path: string, message: Uint8Array, timeoutMs: number): Promise<Buffer> {
  const socket = connect({ path })
  const answered = Promise.withResolvers<Buffer>()
  const frames = new FrameReader()
  socket.on('error', cause => answered.reject(unreachable(path, cause)))
  socket.on('close', () => answered.reject(unreachable(path)))
  socket.on('data', (piece: Buffer) => {
    try {
      const frame = frames.push(piece)
      if (frame !== undefined) answered.resolve(frame)
    } catch (err) {
      answered.reject(err)
    }
  })
  try {
    socket.write(sshString(message))
    return await within(timeoutMs, [], signal => raceAbort(answered.promise, signal))
  } catch (err) {
    if (!(err instanceof DOMException)) throw err
    throw new WarrenError(ErrorCode.Timeout, 'ssh-agent has not answered in time', { cause: err })
  } finally {
    socket.destroy()
  }
}

function unreachable(path: string, cause?: unknown): WarrenError {
  return new WarrenError(ErrorCode.NotFound, `no ssh-agent answers on ${path}`, {
    cause,
    hint: 'SSH_AUTH_SOCK names it: log in anew, or start one: eval "$(ssh-agent)" && ssh-add.'
  })
}
