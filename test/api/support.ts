import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { request } from 'node:http'
import { connect, type Socket } from 'node:net'
import type { TestContext } from 'node:test'
import type { AdminHandlers, WorkloadHandlers } from '../../src/api/index.ts'
import { HOST_VIEW, type PeerCredentials } from '../../src/attest/index.ts'
import { ErrorCode, WarrenError } from '../../src/core/index.ts'
import { privateDirectory } from '../harness/temporary.ts'

/** A private directory that is gone after the test. */
export async function tempDir(t: TestContext): Promise<string> {
  const dir = privateDirectory('warren-api-')
  t.after(() => rm(dir, { recursive: true, force: true }))
  return dir
}

/** Credentials as the kernel would give them; counts process handles that are still open. */
export function fakeCredentials(
  uid = 1000,
  view = HOST_VIEW
): { read: (socket: Socket) => PeerCredentials; open: () => number } {
  let open = 0
  const read = (): PeerCredentials => {
    open += 1
    const close = (): void => {
      open -= 1
    }
    const process = { pid: 4711, isAlive: () => true, close }
    return { uid, gid: uid + 1, pid: 4711, process, view, sharesNetwork: true }
  }
  return { read, open: () => open }
}

const unexpected = async (): Promise<never> => {
  throw new WarrenError(ErrorCode.Unsupported, 'not part of this test')
}
// biome-ignore lint/correctness/useYield: it throws where a stream would begin
async function* unexpectedStream(): AsyncGenerator<never> {
  await unexpected()
}

/** Handlers that answer nothing, but for those given. */
export function workloadHandlers(handlers: Partial<WorkloadHandlers> = {}): WorkloadHandlers {
  return {
    register: unexpected,
    keep: unexpectedStream,
    heartbeat: unexpected,
    deregister: unexpected,
    connect: unexpected,
    prepareListener: unexpected,
    listen: unexpectedStream,
    getConnectionEnd: unexpected,
    resetConnection: unexpected,
    listServices: unexpected,
    watchServices: unexpectedStream,
    getStatus: unexpected,
    getTokenKeys: unexpected,
    inspect: unexpected,
    ...handlers
  }
}

/** As `workloadHandlers`, for the operator's API. */
export function adminHandlers(handlers: Partial<AdminHandlers> = {}): AdminHandlers {
  return {
    createToken: unexpected,
    getMetrics: unexpected,
    makeAdminKey: unexpected,
    offerSignatures: unexpectedStream,
    answerSignature: unexpected,
    listAdmins: unexpected,
    addAdmin: unexpected,
    removeAdmin: unexpected,
    watchEvents: unexpectedStream,
    listMembers: unexpected,
    forgetMember: unexpected,
    listFlows: unexpected,
    getPolicy: unexpected,
    addRule: unexpected,
    applyPolicy: unexpected,
    awaitReceipts: unexpectedStream,
    observe: unexpectedStream,
    listRuleUse: unexpected,
    removeRule: unexpected,
    explain: unexpected,
    listReach: unexpected,
    evict: unexpected,
    revoke: unexpected,
    unrevoke: unexpected,
    addEntry: unexpected,
    removeEntry: unexpected,
    setStrict: unexpected,
    restartPolicy: unexpected,
    acceptClock: unexpected,
    reload: unexpected,
    upgrade: unexpected,
    getUpgrade: unexpected,
    listTokens: unexpected,
    revokeToken: unexpected,
    getToken: unexpected,
    listWaiting: unexpected,
    admit: unexpected,
    trustCa: unexpected,
    trustOidc: unexpected,
    listJoinTrusts: unexpected,
    removeJoinTrust: unexpected,
    invite: unexpected,
    drain: unexpected,
    backup: unexpected,
    listAuthorities: unexpected,
    addAuthority: unexpected,
    removeAuthority: unexpected,
    getRoot: unexpected,
    rotateRoot: unexpected,
    ...handlers
  }
}

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  // biome-ignore lint/suspicious/noExplicitAny: whatever JSON the server sent
  readonly body: any
}

/** What curl does: one JSON call over HTTP/1.1. */
export async function post(socketPath: string, call: string, body = '{}', headers = {}): Promise<Answer> {
  const sent = request({
    socketPath,
    method: 'POST',
    path: `/warren.api.v1.${call}`,
    headers: { 'content-type': 'application/json', ...headers },
    agent: false
  })
  sent.end(body)
  const [response] = await once(sent, 'response')
  let text = ''
  for await (const chunk of response.setEncoding('utf8')) text += chunk
  return { status: response.statusCode, headers: response.headers, body: text === '' ? undefined : JSON.parse(text) }
}

/** Sends bytes and answers all that comes back until the server closes. */
export async function raw(socketPath: string, bytes: string | Uint8Array): Promise<string> {
  const socket = connect({ path: socketPath })
  // `once` would reject on an error, which is one way in which a server refuses.
  const closed = new Promise<void>(resolve => {
    socket.on('close', () => resolve()).on('error', () => {})
  })
  socket.write(bytes)
  let text = ''
  socket.setEncoding('latin1').on('data', (chunk: string) => {
    text += chunk
  })
  await closed
  return text
}

/** Waits, a turn of the event loop at a time, until `holds`. */
export async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise(setImmediate)
}
