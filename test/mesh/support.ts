import assert from 'node:assert/strict'
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { once } from 'node:events'
import type { TestContext } from 'node:test'
import { type LimitName, type LogFields, type Logger, systemClock } from '../../src/core/index.ts'
import type { PeerKey } from '../../src/identity/index.ts'
import { type AdmissionVerdict, createMesh, type Mesh, type MeshOptions } from '../../src/mesh/index.ts'
import { recordingMetrics } from '../harness/recording-metrics.ts'

export const TRUST_DOMAIN = 'mesh.test'

export interface Line {
  readonly level: 'error' | 'warn' | 'info' | 'debug'
  readonly message: string
  readonly fields: LogFields
}

/** A logger that keeps what it is told. */
export function recorder(): { readonly log: Logger; readonly lines: Line[] } {
  const lines: Line[] = []
  const at =
    (level: Line['level']) =>
    (message: string, fields: LogFields = {}): void => {
      lines.push({ level, message, fields })
    }
  const log: Logger = {
    error: at('error'),
    warn: at('warn'),
    info: at('info'),
    debug: at('debug'),
    child: () => log
  }
  return { log, lines }
}

export function newKey(): KeyObject {
  return generateKeyPairSync('ed25519').privateKey
}

/** What stands for a certificate chain here: one "certificate" that names the host. */
export function stubChain(machine: string, peer: PeerKey): Uint8Array[] {
  return [Buffer.from(JSON.stringify({ machine, peer }))]
}

/** Accepts every stub chain, as `verifyNodeChain` accepts a good one. */
export function stubVerify(chain: readonly Uint8Array[]): AdmissionVerdict {
  const [first] = chain
  if (first === undefined) return { ok: false, reason: 'EMPTY', detail: 'no certificate' }
  return { ok: true, ...JSON.parse(Buffer.from(first).toString('utf8')) }
}

export interface Host {
  readonly mesh: Mesh
  readonly machine: string
  readonly lines: Line[]
  /** The limits that were reached, each time. */
  readonly hits: readonly LimitName[]
  readonly key: KeyObject
}

/** A host that is not started; it is stopped when the test ends. */
export async function makeHost(
  t: TestContext,
  machine: string,
  options: Partial<MeshOptions> & { key?: KeyObject } = {}
): Promise<Host> {
  const { key = newKey(), ...rest } = options
  const { log, lines } = recorder()
  const { metrics, hits } = recordingMetrics(log)
  const mesh: Mesh = await createMesh({
    peerKey: key,
    trustDomain: TRUST_DOMAIN,
    listen: { host: '127.0.0.1', port: 0 },
    mdns: false,
    bootstrap: [],
    nodeChain: () => stubChain(machine, mesh.peer),
    verifyChain: stubVerify,
    log,
    metrics,
    clock: systemClock,
    ...rest
  })
  t.after(() => mesh.stop())
  return { mesh, machine, lines, hits, key }
}

/** A host that is started. */
export async function startHost(t: TestContext, machine: string, options: Parameters<typeof makeHost>[2] = {}) {
  const host = await makeHost(t, machine, options)
  await host.mesh.start()
  return host
}

/** Two hosts that are connected. */
export async function startPair(t: TestContext): Promise<[Host, Host]> {
  const a = await makeHost(t, 'alpha')
  await a.mesh.start()
  const b = await makeHost(t, 'beta', { bootstrap: a.mesh.addresses() })
  await b.mesh.start()
  await connection(a, b)
  return [a, b]
}

/** Resolves once each of the two is connected to the other. */
export async function connection(a: Host, b: Host): Promise<void> {
  await until(() => a.mesh.isConnected(b.mesh.peer) && b.mesh.isConnected(a.mesh.peer))
}

/** Resolves once `predicate` holds; fails after `ms`. */
export async function until(predicate: () => boolean | Promise<boolean>, ms = 30_000): Promise<void> {
  const deadline = performance.now() + ms
  while (!(await predicate())) {
    assert.ok(performance.now() < deadline, `still not so after ${ms} ms: ${predicate}`)
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}

/** Publishes new bytes until some neighbour takes them: gossip needs a moment after a connection is there. */
export async function publishSoon(host: Host, topic: 'registry' | 'policy', prefix: string): Promise<number> {
  let recipients = 0
  let count = 0
  await until(async () => {
    count += 1
    recipients = await host.mesh.publish(topic, Buffer.from(`${prefix}${count}`))
    return recipients > 0
  })
  return recipients
}

/** The error that a stream ends with. */
export async function failureOf(stream: NodeJS.EventEmitter): Promise<Error & { code?: string }> {
  const [err] = await once(stream, 'error')
  return err
}
