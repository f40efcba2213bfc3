import type { Socket } from 'node:net'
import { join } from 'node:path'
import type { DescService } from '@bufbuild/protobuf'
import { createClient, type Interceptor, type Transport } from '@connectrpc/connect'
import { createConnectTransport, Http2SessionManager } from '@connectrpc/connect-node'
import { ErrorCode, packageVersion, WarrenError } from '../core/index.ts'
import { adminPb, apiPb, spiffePb } from '../wire/index.ts'
import type { CallOptions, Calls } from './calls.ts'
import { dialAgent } from './dial-agent.ts'
import { fromConnectError } from './from-connect-error.ts'
import { orMissing } from './missing-socket.ts'
import { ProcessHold } from './process-hold.ts'
import { agentDir, type Environment } from './runtime-dir.ts'

export interface AgentClientOptions {
  /** Directory of the agent's sockets. @default `agentDir(env)` */
  readonly runtimeDir?: string | undefined
  /** @default process.env */
  readonly env?: Environment | undefined
  /** Time limit of a call that is not a stream, in milliseconds. @default 60_000 */
  readonly timeoutMs?: number | undefined
}

/** The authority of each request; a unix socket has none. */
const BASE_URL = 'http://agent.warren.internal'
const MAX_ANSWER_BYTES = 64 * 1024 * 1024
const TIMEOUT_MS = 60_000

/**
 * The local API of one agent, typed. Uses one HTTP/2 connection per socket, which the first call opens; it is opened
 * again after the agent restarted.
 *
 * Calls fail with a WarrenError, or with the reason of their signal: AGENT_NOT_RUNNING if no agent listens or the agent
 * ends, PERMISSION_DENIED if the socket is not this user's or the directory has become another user's, else the agent's
 * error.
 */
export class AgentClient implements AsyncDisposable {
  readonly runtimeDir: string
  /** Calls on agent.sock: the API of workloads. */
  readonly workload: Calls<typeof apiPb.WorkloadService>
  /** Calls on admin.sock: the API of the operator. */
  readonly admin: Calls<typeof adminPb.AdminService>
  /** Calls on spiffe.sock: the SPIFFE Workload API. */
  readonly spiffe: Calls<typeof spiffePb.SpiffeWorkloadAPI>
  readonly #sessions: readonly Http2SessionManager[]
  readonly #closers = new Set<() => Promise<void>>()
  readonly #hold = new ProcessHold()

  constructor(options: AgentClientOptions = {}) {
    this.runtimeDir = options.runtimeDir ?? agentDir(options.env)
    const timeoutMs = options.timeoutMs ?? TIMEOUT_MS
    const workloadPath = join(this.runtimeDir, 'agent.sock')
    const adminPath = join(this.runtimeDir, 'admin.sock')
    const spiffePath = join(this.runtimeDir, 'spiffe.sock')
    const [adminHold, spiffeHold] = [new ProcessHold(), new ProcessHold()]
    const workload = sessionOver(workloadPath, this.runtimeDir, this.#hold)
    const admin = sessionOver(adminPath, this.runtimeDir, adminHold)
    const spiffe = sessionOver(spiffePath, this.runtimeDir, spiffeHold)
    this.#sessions = [workload, admin, spiffe]
    this.workload = failingPlainly(apiPb.WorkloadService, {
      session: workload,
      hold: this.#hold,
      path: workloadPath,
      timeoutMs,
      interceptors: [versionHeader]
    })
    this.admin = failingPlainly(adminPb.AdminService, {
      session: admin,
      hold: adminHold,
      path: adminPath,
      timeoutMs,
      interceptors: [versionHeader]
    })
    const spiffeApi = { session: spiffe, hold: spiffeHold, path: spiffePath, timeoutMs, interceptors: [spiffeHeader] }
    this.spiffe = failingPlainly(spiffePb.SpiffeWorkloadAPI, spiffeApi)
  }

  /**
   * Dials a unix socket that this agent made, as an answer named it. Throws PERMISSION_DENIED if another user may have made it, or
   * the system's error; a failure to connect is an `error` event.
   */
  dial(path: string): Socket {
    return dialAgent(path, this.runtimeDir, { allowHalfOpen: true })
  }

  /** @internal Keeps the process from ending until the returned function is called. */
  hold(): () => void {
    return this.#hold.take()
  }

  /**
   * Makes `close` call `closer` first. Use it for objects that depend on this client. The returned function undoes
   * that.
   */
  onClose(closer: () => Promise<void>): () => void {
    this.#closers.add(closer)
    return () => this.#closers.delete(closer)
  }

  /**
   * Ends the objects that depend on this client, then its connections. Calls in progress fail. Idempotent, never
   * throws.
   */
  async close(): Promise<void> {
    await Promise.allSettled([...this.#closers].map(closer => closer()))
    this.#closers.clear()
    for (const session of this.#sessions) session.abort()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

const shared = new Map<string, AgentClient>()

/** Returns the client of this process for the agent that `options` select: the same one each time. */
export function sharedClient(options: AgentClientOptions = {}): AgentClient {
  const dir = options.runtimeDir ?? agentDir(options.env)
  const known = shared.get(dir)
  if (known !== undefined) return known
  const client = new AgentClient({ ...options, runtimeDir: dir })
  shared.set(dir, client)
  return client
}

// This must be the system's socket, without a stream around it: through a stream, answers and their ends arrive in one
// turn, and the library, which begins to iterate later, would find the stream closed and lose them.
function sessionOver(path: string, runtimeDir: string, hold: ProcessHold): Http2SessionManager {
  return new Http2SessionManager(BASE_URL, {}, { createConnection: () => hold.adopt(dialAgent(path, runtimeDir)) })
}

// For the error of an agent that does not have the call: it names both versions.
const versionHeader: Interceptor = next => request => {
  request.header.set('warren-version', packageVersion())
  return next(request)
}

// The standard requires it for every call:
// https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Workload_Endpoint.md
const spiffeHeader: Interceptor = next => request => {
  request.header.set('workload.spiffe.io', 'true')
  return next(request)
}

/** The part of a session manager that a transport uses. */
type SessionManager = Pick<Http2SessionManager, 'authority' | 'request' | 'notifyResponseByteRead'>

/** Returns `session` with streams that end when `left` aborts, whether or not they were read to the end. */
function leftWith(session: Http2SessionManager, left: AbortSignal): SessionManager {
  return {
    authority: session.authority,
    notifyResponseByteRead: stream => session.notifyResponseByteRead(stream),
    request: async (...args) => {
      const stream = await session.request(...args)
      // Connect does not reset a stream that the agent has ended, and Node waits until its data is read: the stream
      // would exist, and keep the process from ending, as long as the connection to the agent.
      left.addEventListener('abort', () => stream.removeAllListeners('readable').resume(), { once: true })
      return stream
    }
  }
}

function transportOver(sessionManager: SessionManager, interceptors: Interceptor[] = []): Transport {
  return createConnectTransport({
    httpVersion: '2',
    baseUrl: BASE_URL,
    sessionManager,
    interceptors,
    acceptCompression: [],
    readMaxBytes: MAX_ANSWER_BYTES
  })
}

type Unary = (request: unknown, options?: CallOptions) => Promise<unknown>
type Stream = (request: unknown, options?: CallOptions) => AsyncIterable<unknown>

/** How one socket of the agent is called. */
interface Api {
  readonly session: Http2SessionManager
  readonly hold: ProcessHold
  readonly path: string
  readonly timeoutMs: number
  readonly interceptors?: Interceptor[]
}

// Interceptors cannot do this: their errors are converted to a ConnectError again.
function failingPlainly<S extends DescService>(service: S, api: Api): Calls<S> {
  const { session, hold, path, timeoutMs, interceptors } = api
  const over = (manager: SessionManager): Record<string, unknown> =>
    createClient(service, transportOver(manager, interceptors)) as Record<string, unknown>
  const raw = over(session)
  const fail = async (err: unknown, signal: AbortSignal | undefined): Promise<never> => {
    if (signal?.aborted === true) throw signal.reason
    const failure = await orMissing(fromConnectError(err, path), path)
    if (failure.code !== ErrorCode.Timeout || failure.reason !== 'the operation timed out') throw failure
    throw new WarrenError(ErrorCode.Timeout, `no answer from the agent on ${path} in time`, { cause: err })
  }
  const unary = (call: Unary): Unary => {
    return async (request, options) => {
      const release = options?.holdsProcess === false ? () => {} : hold.take()
      try {
        return await call(request, { timeoutMs, ...options })
      } catch (err) {
        return await fail(err, options?.signal)
      } finally {
        release()
      }
    }
  }
  const stream = (name: string): Stream => {
    return async function* (request, options) {
      // Connect does not cancel a stream whose reader leaves its loop: it would stay open on both sides.
      const left = new AbortController()
      const release = options?.holdsProcess === false ? () => {} : hold.take()
      const signal = options?.signal
      const onAbort = (): void => left.abort(signal?.reason)
      if (signal?.aborted === true) onAbort()
      signal?.addEventListener('abort', onAbort, { once: true })
      try {
        const call = over(leftWith(session, left.signal))[name] as Stream
        yield* call(request, { ...options, signal: left.signal })
      } catch (err) {
        await fail(err, signal)
      } finally {
        signal?.removeEventListener('abort', onAbort)
        left.abort()
        release()
      }
    }
  }
  const calls = service.methods.map(method => {
    const name = method.localName
    return [name, method.methodKind === 'unary' ? unary(raw[name] as Unary) : stream(name)]
  })
  return Object.freeze(Object.fromEntries(calls)) as Calls<S>
}
