import { createHash, randomBytes } from 'node:crypto'
import { parseAddress, parsePattern, peerKeyOf } from '../../src/identity/index.ts'
import { type Admitted, createRegistry, type Effect, step } from '../../src/registry/index.ts'

/** Bytes of the gossip of a host with two addresses of each kind: a renewal, and a change of one registration. Made by the real registry. */
export function gossipSizes(): { readonly headBytes: number; readonly changeBytes: number } {
  const now = { wallMs: 1_700_000_000_000, monotonicMs: 0 }
  const peer = peerKeyOf(randomBytes(32))
  const identity: Admitted = { peer, machine: 'host-0001', scopes: [], notAfterMs: now.wallMs + 86_400_000 }
  const state = createRegistry(
    {
      trustDomain: 'example.org',
      self: { peer, machine: 'host-0001' },
      highWaterMarks: [],
      sign: () => new Uint8Array(64),
      verify: () => true,
      admit: () => identity
    },
    now
  )
  const sizeOf = (effects: readonly Effect[]): number =>
    effects.reduce((sum, effect) => sum + (effect.type === 'publish' ? effect.bytes.length : 0), 0)
  step(
    state,
    {
      type: 'local-head',
      profile: {
        meshAddresses: [`/ip4/10.0.0.1/tcp/7946/p2p/${peer}`, `/dns4/host-0001.example.org/tcp/7946/p2p/${peer}`],
        dataAddresses: ['10.0.0.1:7947', 'host-0001.example.org:7947'],
        capabilities: ['tcp'],
        policyVersion: 10n,
        trustVersion: 1n,
        draining: false,
        jwtKeys: [randomBytes(91).toString('base64')],
        softwareVersion: '0.1.0',
        protocolVersions: ['mesh', 'session', 'fast-path', 'datagrams'].map(name => ({ name, min: 1, max: 1 })),
        nodeChain: [randomBytes(700)]
      }
    },
    now
  )
  const record = {
    registrationId: createHash('sha256').update('web').digest('hex'),
    address: parseAddress('dev.app.web.default.host-0001'),
    protocols: ['tcp' as const],
    whitelist: [parsePattern('dev.*.*.*')],
    health: 'passing' as const,
    labels: { version: '1.2.3' },
    registeredAtMs: now.wallMs,
    ttlMs: 0,
    ports: [],
    weight: 100
  }
  return {
    changeBytes: sizeOf(step(state, { type: 'local-change', puts: [record], deletes: [] }, now)),
    headBytes: sizeOf(step(state, { type: 'refresh' }, now))
  }
}
