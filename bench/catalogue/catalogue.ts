import { generateKeyPairSync, hash, type KeyObject, sign, verify } from 'node:crypto'
import { parseAddress, parsePattern, peerKeyOf, rawKeyOf } from '../../src/identity/index.ts'
import {
  type Admitted,
  answer,
  createRegistry,
  type Now,
  type RegistryState,
  SyncSession,
  step
} from '../../src/registry/index.ts'

export const GROUP = 'dev.web.site.default'
const TRUST_DOMAIN = 'example.org'
const WALL_MS = 1_700_000_000_000

/** Hosts, workloads of each, and instances of the one group. */
export interface Sizes {
  readonly hosts: number
  readonly workloads: number
  readonly group: number
}

const now = (): Now => ({ wallMs: WALL_MS, monotonicMs: 1_000 })
const publicKeys = new Map<string, KeyObject>()

/** A replica without records, with a key of its own. Its certificates are not real: they are no part of this. */
export function replica(machine: string, publishes = true): RegistryState {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  const raw = publicKey.export({ type: 'spki', format: 'der' }).subarray(-32)
  const peer = peerKeyOf(raw)
  publicKeys.set(Buffer.from(rawKeyOf(peer)).toString('latin1'), publicKey)
  const identity: Admitted = { peer, machine, scopes: [], notAfterMs: WALL_MS + 86_400_000 }
  const state = createRegistry(
    {
      trustDomain: TRUST_DOMAIN,
      self: { peer, machine },
      highWaterMarks: [],
      sign: bytes => sign(undefined, bytes, privateKey),
      verify: (key, bytes, signature) => {
        const known = publicKeys.get(Buffer.from(key).toString('latin1'))
        return known !== undefined && verify(undefined, bytes, known, signature)
      },
      admit: ([leaf]) => JSON.parse(Buffer.from(leaf ?? []).toString()) as Admitted
    },
    now()
  )
  if (publishes) {
    const profile = {
      meshAddresses: [`/ip4/10.0.0.1/tcp/7460/p2p/${peer}`],
      dataAddresses: ['10.0.0.1:7461'],
      capabilities: ['tcp'],
      policyVersion: 1n,
      trustVersion: 1n,
      draining: false,
      jwtKeys: [],
      softwareVersion: '0.1.0',
      protocolVersions: [],
      nodeChain: [Buffer.from(JSON.stringify(identity))]
    }
    step(state, { type: 'local-head', profile }, now())
  }
  return state
}

/** Pulls what `from` has and `state` lacks, as a host does at its start. Returns the bytes that came. */
export function synchronise(state: RegistryState, from: RegistryState): number {
  let bytes = 0
  for (let fetched = -1; fetched !== 0; ) {
    const before = state.entries.size
    const session = new SyncSession(state, from.own.peer)
    let request: Uint8Array | undefined = session.first()
    while (request !== undefined) {
      const response = answer(from, request, now())
      bytes += response.length
      const taken = session.next(response, now())
      if (taken.fault !== undefined) throw taken.fault
      request = taken.request
    }
    fetched = state.entries.size - before
  }
  return bytes
}

/** A host that holds all records of a mesh, each signed by its owner and verified. */
export function fullReplica({ hosts, workloads, group }: Sizes): RegistryState {
  const full = replica('host0')
  for (let host = 1; host <= hosts; host += 1) {
    const machine = `host${host}`
    const owner = replica(machine)
    const puts = Array.from({ length: workloads }, (_, number) => {
      const name = number === 0 && host <= group ? GROUP : `dev.app${host % 100}.service${number}.default`
      const address = parseAddress(`${name}.${machine}`)
      return {
        registrationId: hash('sha256', `${name} ${machine}`),
        address,
        protocols: ['tcp' as const],
        whitelist: [parsePattern('dev.*.*.*')],
        health: 'passing' as const,
        labels: { version: '1.2.3', zone: `zone${host % 3}` },
        registeredAtMs: WALL_MS,
        ttlMs: 0,
        ports: [8_080],
        weight: 100
      }
    })
    step(owner, { type: 'local-change', puts, deletes: [] }, now())
    synchronise(full, owner)
  }
  return full
}

/** Another workload of a host, by which all that is derived from the records is made anew. */
export function change(state: RegistryState, owner: RegistryState, number: number): void {
  const address = parseAddress(`dev.web.changed${number}.default.${owner.own.machine}`)
  const record = {
    registrationId: hash('sha256', `changed ${number}`),
    address,
    protocols: ['tcp' as const],
    whitelist: [],
    health: 'passing' as const,
    labels: {},
    registeredAtMs: WALL_MS,
    ttlMs: 0,
    ports: [],
    weight: 100
  }
  step(owner, { type: 'local-change', puts: [record], deletes: [] }, now())
  if (state !== owner) synchronise(state, owner)
}
