import { cpus, totalmem } from 'node:os'
import { gzipSync } from 'node:zlib'
import type { AgentClient } from '../../client/index.ts'
import { writeOutput } from '../../core/index.ts'
import { clause } from '../output/report.ts'
import { fields } from '../output/views.ts'
import type { Facts } from './facts.ts'
import type { Finding } from './finding.ts'

/** The head of a gzip file: a bundle replaces a bundle, and no other file. */
const GZIP = Buffer.from([0x1f, 0x8b, 0x08])

export interface BundleOptions {
  readonly file: string
  readonly agent: AgentClient
  readonly facts: Facts
  readonly findings: readonly Finding[]
}

/**
 * Writes what somebody who helps has to know, as JSON under gzip with mode 0600. There are names, addresses and rules in it, and
 * no key, certificate, token or content of a connection: only what the commands print is asked for. Returns its size.
 */
export async function writeBundle({ file, agent, facts, findings }: BundleOptions): Promise<number> {
  const part = async (ask: () => Promise<object>): Promise<unknown> => {
    try {
      return fields(await ask())
    } catch (err) {
      return { problem: clause(err) }
    }
  }
  const content = {
    format: 'warren-support-1',
    madeAt: new Date(facts.nowMs).toISOString(),
    findings,
    facts,
    machine: { cpus: cpus().length, memoryBytes: totalmem(), platform: process.platform, arch: process.arch },
    services: await part(() => agent.workload.listServices({})),
    flows: await part(() => agent.admin.listFlows({})),
    policy: await part(() => agent.admin.getPolicy({}))
  }
  const bytes = gzipSync(JSON.stringify(content, plain, 1))
  writeOutput(file, bytes, { what: 'a bundle for support', isSameKind: head => head.subarray(0, 3).equals(GZIP) })
  return bytes.length
}

function plain(name: string, value: unknown): unknown {
  if (name.startsWith('$')) return undefined
  return typeof value === 'bigint' ? String(value) : value
}
