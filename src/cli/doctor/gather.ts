import { readFileSync } from 'node:fs'
import { stat, statfs } from 'node:fs/promises'
import { isIP } from 'node:net'
import { release } from 'node:os'
import type { AgentClient } from '../../client/index.ts'
import {
  connectTcp,
  fileFault,
  formatHostPort,
  type HostPort,
  packageVersion,
  parseHostPort,
  resolveHost
} from '../../core/index.ts'
import { clause, clauseWithHint } from '../output/report.ts'
import { fields, memberView } from '../output/views.ts'
import type { DialFacts, DirectoryFacts, Facts, Problem } from './facts.ts'

/** A connection to an address of one's own takes less than a millisecond, unless a firewall drops it. */
const DIAL_MS = 2_000
const NAME_MS = 3_000
/** More addresses than an agent announces. */
const MAX_DIALS = 32
const RECEIVE_LIMIT = '/proc/sys/net/core/rmem_max'

export interface GatherOptions {
  readonly agent: AgentClient
  readonly stateDir: string
  readonly runtimeDir: string
}

/** Looks at the agent and at the host. Never rejects: what cannot be read is in the facts, with its reason. */
export async function gather({ agent, stateDir, runtimeDir }: GatherOptions): Promise<Facts> {
  const status = await answer(async () => fields(await agent.workload.getStatus({})))
  const [members, samples, directories] = await Promise.all([
    answer(async () => (await agent.admin.listMembers({})).members.map(memberView)),
    answer(async () => (await agent.admin.getMetrics({})).samples.map(fields)),
    Promise.all([directory('state', stateDir), directory('runtime', runtimeDir)])
  ])
  const announced = 'problem' in status ? [] : [...status.dataAddresses.map(address => parseHostPort(address))]
  const mesh = 'problem' in status ? [] : status.meshAddresses.map(fromMultiaddr).filter(at => at !== undefined)
  const [dials, names] = await Promise.all([
    Promise.all([...announced, ...mesh].slice(0, MAX_DIALS).map(dial)),
    Promise.all([...new Set(announced.map(({ host }) => host).filter(host => isIP(host) === 0))].map(resolve))
  ])
  return {
    cliVersion: packageVersion(),
    nodeVersion: process.versions.node,
    kernel: release(),
    uid: process.getuid?.() ?? 0,
    nowMs: Date.now(),
    status,
    members,
    samples,
    directories,
    dials,
    receiveBufferBytes: receiveLimit(),
    names
  }
}

async function answer<T>(ask: () => Promise<T>): Promise<T | Problem> {
  try {
    return await ask()
  } catch (err) {
    const { hint } = err as { readonly hint?: unknown }
    return { problem: clause(err), cure: typeof hint === 'string' ? hint : '' }
  }
}

async function directory(what: DirectoryFacts['what'], path: string): Promise<DirectoryFacts> {
  try {
    const { mode, uid } = await stat(path)
    const { bavail, blocks, bsize, ffree, files } = await statfs(path)
    const found = {
      mode: mode & 0o777,
      uid,
      availableBytes: bavail * bsize,
      totalBytes: blocks * bsize,
      freeFiles: ffree,
      totalFiles: files
    }
    return { what, path, found }
  } catch (err) {
    return { what, path, problem: fileFault(path, err).why }
  }
}

async function dial(at: HostPort): Promise<DialFacts> {
  const address = formatHostPort(at)
  try {
    const socket = await connectTcp(at, AbortSignal.timeout(DIAL_MS))
    socket.destroy()
    return { address }
  } catch (err) {
    return { address, problem: clauseWithHint(err) }
  }
}

async function resolve(name: string): Promise<Facts['names'][number]> {
  try {
    await resolveHost(name, AbortSignal.timeout(NAME_MS))
    return { name }
  } catch (err) {
    return { name, problem: clause(err) }
  }
}

// /ip4/192.0.2.1/tcp/7460/p2p/…, as the agent prints it.
function fromMultiaddr(text: string): HostPort | undefined {
  const [, , host, protocol, port] = text.split('/')
  return host === undefined || protocol !== 'tcp' ? undefined : { host, port: Number(port) }
}

function receiveLimit(): number | undefined {
  try {
    return Number(readFileSync(RECEIVE_LIMIT, 'latin1'))
  } catch {
    return undefined
  }
}
