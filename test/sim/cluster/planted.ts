import type { PolicyTransport } from '../../../src/cluster/policy-transport.ts'
import { type PeerKey, peerKeyOf, rawPublicKey } from '../../../src/identity/index.ts'
import type { AdmissionVerdict, RequestHandler } from '../../../src/mesh/types.ts'
import type { TrustFile } from '../../../src/state/trust-file.ts'
import { decode, meshPb } from '../../../src/wire/index.ts'
import type { ClusterSimulation } from './cluster-simulation.ts'
import type { SimMesh } from './sim-mesh.ts'

type VerifyChain = (chain: readonly Uint8Array[]) => AdmissionVerdict
type Suspect = (peer: PeerKey, suspected: boolean) => void

/** A known bug of what hosts agree by, planted in honest hosts to see that the simulator finds it. */
export interface Planted {
  readonly verifyChain?: (verify: VerifyChain, peer: PeerKey) => VerifyChain
  readonly mesh?: (mesh: SimMesh, suspect: Suspect) => SimMesh
  readonly transport?: (transport: PolicyTransport) => PolicyTransport
  readonly trustFile?: (file: TrustFile, sim: ClusterSimulation) => TrustFile
  readonly adminPublicKey?: (sim: ClusterSimulation) => Uint8Array
  readonly hidesNobody?: boolean
  readonly keepsConnections?: boolean
  readonly savesNoPolicy?: boolean
  readonly restoresFirstPolicy?: boolean
  readonly asksForNoTrust?: boolean
  readonly hearsNoPolicy?: boolean
}

/** Each by what it does wrong. */
export const PLANTED: Readonly<Record<string, Planted>> = {
  'admits whoever shows the chain of a member': {
    verifyChain: (verify, peer) => chain => {
      const verdict = verify(chain)
      return verdict.ok ? { ...verdict, peer } : verdict
    }
  },
  'admits an evicted host': {
    verifyChain: (verify, peer) => chain => {
      const verdict = verify(chain)
      if (verdict.ok || verdict.reason !== 'revoked') return verdict
      return { ok: true, peer, machine: verdict.detail.split(' ')[0] ?? '' }
    }
  },
  'keeps its connections to an evicted host': { keepsConnections: true },
  'believes who says that a host is dead': {
    mesh: (mesh, suspect) =>
      Object.assign(Object.create(mesh), bound(mesh), {
        handle: (_protocol: '/warren/probe/1', handler: RequestHandler) =>
          mesh.handle('/warren/probe/1', async (from, bytes, signal) => {
            const { ask } = decode(meshPb.ProbeRequestSchema, bytes, bytes.length)
            if (ask.case === 'suspected') suspect(peerKeyOf(ask.value), true)
            return await handler(from, bytes, signal)
          })
      })
  },
  'hides no dead host': { hidesNobody: true },
  'takes the policy of another key': {
    adminPublicKey: ({ members }) => {
      const liar = members.find(({ role }) => role === 'liar')
      if (liar === undefined) throw new Error('nobody lies')
      return rawPublicKey(liar.identity.key)
    }
  },
  'saves no policy': { savesNoPolicy: true },
  'starts again with an older policy': { restoresFirstPolicy: true },
  'learns of no policy': {
    hearsNoPolicy: true,
    transport: ({ publish }) => ({
      publish,
      request: async () => {
        throw new Error('not asked')
      }
    })
  },
  'trusts a root that nobody has handed on': {
    trustFile: (file, { domain }) => {
      let [state, signed] = [file.state, file.signed]
      return Object.create(file, {
        state: { get: () => ({ ...state, roots: [...state.roots, ...domain.foreignRoots] }) },
        signed: { get: () => signed },
        since: { value: (version: bigint) => (version < state.version ? [signed] : []) },
        follow: {
          value: (step: Parameters<TrustFile['follow']>[0]) => {
            state = step.state
            signed = step.signed
          }
        }
      }) as TrustFile
    }
  },
  'asks nobody for trust bundles': { asksForNoTrust: true }
}

/** The methods of a mesh, for an object in front of it. */
function bound(mesh: SimMesh): Partial<SimMesh> {
  return {
    connected: () => mesh.connected(),
    isConnected: peer => mesh.isConnected(peer),
    isNeighbour: () => true,
    ping: (peer, timeoutMs) => mesh.ping(peer, timeoutMs),
    request: (peer, protocol, bytes, options) => mesh.request(peer, protocol, bytes, options),
    cutOff: peer => mesh.cutOff(peer),
    onConnect: listener => mesh.onConnect(listener),
    onDisconnect: listener => mesh.onDisconnect(listener)
  }
}
