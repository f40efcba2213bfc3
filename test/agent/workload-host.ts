import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { type AskPort, Attestor, ProcessWatch, processHandle, processReader } from '../../src/attest/index.ts'
import { parsePattern, SessionTokens } from '../../src/identity/index.ts'
import type { Entry } from '../../src/policy/index.ts'
import {
  type EndReason,
  Grants,
  PortServers,
  type RegisterInput,
  type Registrant,
  type Workload,
  Workloads
} from '../../src/workloads/index.ts'
import type { WorkloadLimits } from '../../src/workloads/room.ts'
import { scopeOf } from '../harness/index.ts'
import { GID, Sleeper, TestClock, TestLog, UID } from './support.ts'

export const ADDRESS = 'dev.web.nginx.default'
/** A user that this host need not have. */
export const OTHER_UID = 4_242

export interface HostOptions {
  readonly scopes?: readonly string[]
  readonly limits?: WorkloadLimits
  /** Who has a port. @default nobody is asked */
  readonly ask?: AskPort
  /** Users of this host. */
  readonly users?: Readonly<Record<string, number>>
}

/** The registrations of a host, with real processes and a real directory, in a time of their own. */
export class WorkloadHost {
  readonly clock = new TestClock()
  readonly log = new TestLog()
  readonly listenDir: string
  readonly runtimeDir: string
  readonly workloads: Workloads
  readonly added: Workload[] = []
  readonly ended: Array<readonly [registrationId: string, reason: EndReason]> = []
  entries: Entry[] = []
  strict = false
  /** Throws what the standing of a SPIFFE ID is to throw. */
  requireNotRevoked: (spiffeId: string) => void = () => {}
  /** Throws what the registry is to throw. */
  announce: (workload: Workload) => void = () => {}
  readonly #ending = new Map<string, PromiseWithResolvers<EndReason>>()
  readonly #t: TestContext

  constructor(t: TestContext, options: HostOptions = {}) {
    this.#t = t
    const scope = scopeOf(t)
    this.listenDir = scope.directory()
    this.runtimeDir = scope.directory()
    mkdirSync(join(this.runtimeDir, 'endpoints'))
    this.workloads = new Workloads({
      trustDomain: 'example.org',
      machine: 'm1',
      grants: new Grants({
        scopes: options.scopes ?? [],
        agentUid: UID,
        entries: () => ({ entries: this.entries, strict: this.strict }),
        requireNotRevoked: spiffeId => this.requireNotRevoked(spiffeId),
        attestor: new Attestor(this.clock)
      }),
      listenDir: this.listenDir,
      runtimeDir: this.runtimeDir,
      tokens: new SessionTokens(Buffer.alloc(32, 1)),
      processes: new ProcessWatch(),
      portServers: new PortServers({ ask: options.ask, log: this.log, clock: this.clock }),
      uidOf: async name => options.users?.[name],
      onAdded: workload => {
        this.announce(workload)
        this.added.push(workload)
      },
      onEnded: ({ registrationId }, reason) => {
        this.ended.push([registrationId, reason])
        this.#endOf(registrationId).resolve(reason)
      },
      clock: this.clock,
      log: this.log,
      ...(options.limits === undefined ? {} : { limits: options.limits })
    })
    t.after(() => this.workloads.stop())
  }

  /** How a registration ends, once it has. */
  async endOf({ registrationId }: Workload): Promise<EndReason> {
    return await this.#endOf(registrationId).promise
  }

  async register(more: Partial<RegisterInput> = {}, who?: Registrant): Promise<{ workload: Workload; token: string }> {
    return await this.workloads.register(input(more), who ?? caller(this.#t))
  }

  /** A registration that belongs to a process of its own. */
  async registerProcess(more: Partial<RegisterInput> = {}) {
    const sleeper = await Sleeper.start(this.#t)
    const who = callerOf(sleeper)
    return { ...(await this.register(more, who)), sleeper, who }
  }

  #endOf(registrationId: string): PromiseWithResolvers<EndReason> {
    const end = this.#ending.get(registrationId) ?? Promise.withResolvers<EndReason>()
    this.#ending.set(registrationId, end)
    return end
  }
}

/** This process, as a user of the agent. */
export function caller(t: Pick<TestContext, 'after'>, uid = UID): Registrant {
  const handle = processHandle(process.pid)
  t.after(() => handle.close())
  return { uid, gid: GID, process: handle, view: processReader().viewOf(process.pid), sharesNetwork: true }
}

/** Another process of this user, as a user of the agent. */
export function callerOf({ handle, pid }: Sleeper): Registrant {
  return { uid: UID, gid: GID, process: handle, view: processReader().viewOf(pid), sharesNetwork: true }
}

export function input(more: Partial<RegisterInput> = {}): RegisterInput {
  return {
    address: ADDRESS,
    target: undefined,
    whitelist: [],
    labels: {},
    ttlMs: 0,
    ownerPid: 0,
    application: '',
    ...more
  }
}

/** A registration entry that grants a pattern to whoever has what it selects. */
export function entryFor(grants: string, selector: Partial<Entry>): Entry {
  return {
    id: 'e1',
    machine: undefined,
    uid: undefined,
    user: undefined,
    gid: undefined,
    group: undefined,
    exePath: undefined,
    exeSha256: undefined,
    systemdUnit: undefined,
    cgroup: undefined,
    grants: parsePattern(grants),
    reason: '',
    createdAtMs: 0,
    ...selector
  }
}
