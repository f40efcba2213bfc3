import { announcementOf } from '../../../src/cluster/policy-transport.ts'
import { CONTEXT, type PeerKey, rawKeyOf, rawPublicKey, sign } from '../../../src/identity/index.ts'
import type { MeshProtocol, MeshTopic } from '../../../src/mesh/index.ts'
import { type Bundle, openBundle, sealBundle } from '../../../src/policy/index.ts'
import { create, decode, identityPb, meshPb, policyPb, toBinary, trustPb } from '../../../src/wire/index.ts'
import type { ClusterSimulation } from './cluster-simulation.ts'
import { TRUST_DOMAIN } from './domain.ts'
import type { Member, Running } from './member.ts'
import type { Manners } from './sim-mesh.ts'

const KEPT = 64
/** A version that nobody has: every host that believes it asks for it. */
const HUGE = 2n ** 53n

type Answer = () => Promise<Uint8Array>

/**
 * A member that is admitted, and lies wherever it can: it says that living hosts are dead and dead ones live, answers with old, forged or
 * broken policies and trust bundles or not at all, claims versions that do not exist, replays the gossip of others, shows the
 * chains of others as its own, and hands half of the gossip on.
 */
export class Liar implements Manners {
  readonly #sim: ClusterSimulation
  readonly #self: Member
  readonly #overheard: Array<{ readonly topic: MeshTopic; readonly bytes: Uint8Array }> = []
  readonly #policies: Bundle[] = []

  constructor(sim: ClusterSimulation, self: Member) {
    this.#sim = sim
    this.#self = self
  }

  begin({ mesh, policy }: Running): void {
    const { random } = this.#sim
    const lies = [
      () => this.#suspectSomebody(mesh),
      () => this.#suspectSomebody(mesh),
      () => this.#replay(mesh),
      () => this.#announce(mesh, this.#policies.length > 0 ? random.pick(this.#policies) : undefined),
      () => this.#announce(mesh, this.forged()),
      () => this.#claimTrust(mesh)
    ]
    const next = (): void => {
      setTimeout(
        () => {
          const { root } = policy
          if (root !== undefined && this.#policies.at(-1)?.sha256 !== root.sha256) this.#policies.push(root)
          random.pick(lies)?.()
          next()
        },
        random.between(100, 1_500)
      )
    }
    next()
  }

  /** Its own chain, or at times that of another host. */
  chain(): readonly Uint8Array[] | undefined {
    const { random, identities } = this.#sim
    return random.chance(0.3) ? random.pick(identities)?.chain : undefined
  }

  /** A version that it announces in place of its own. */
  version(): bigint | undefined {
    return this.#sim.random.chance(0.5) ? HUGE : undefined
  }

  forwards(): boolean {
    return this.#sim.random.chance(0.5)
  }

  overheard(topic: MeshTopic, bytes: Uint8Array): void {
    this.#overheard.push({ topic, bytes })
    if (this.#overheard.length > KEPT) this.#overheard.shift()
  }

  async answer(protocol: MeshProtocol, _from: PeerKey, bytes: Uint8Array, honest: Answer): Promise<Uint8Array> {
    const { random } = this.#sim
    const nothing = (): Promise<Uint8Array> => new Promise(() => {})
    switch (protocol) {
      case '/warren/probe/1': {
        const { ask } = decode(meshPb.ProbeRequestSchema, bytes, bytes.length)
        if (ask.case !== 'relay') return await honest()
        const reached = random.chance(0.5)
        return toBinary(meshPb.ProbeResponseSchema, create(meshPb.ProbeResponseSchema, { reached }))
      }
      case '/warren/policy/1':
        return await this.#oneOf([honest, nothing, async () => this.#policyAnswer(), async () => Buffer.of(1, 2, 3)])
      case '/warren/trust/1':
        return await this.#oneOf([honest, nothing, async () => this.#trustAnswer(), async () => Buffer.of(255)])
      case '/warren/sync/1':
      case '/warren/gather/1':
        return await this.#oneOf([honest, honest, nothing, async () => changed(await honest(), random.int(1_024))])
      default:
        return await honest()
    }
  }

  /** A policy of the next version, signed with its own key in place of the admin's. */
  forged(): Bundle | undefined {
    const { root } = this.#self.now?.policy ?? {}
    const { key } = this.#self.identity
    const content = { trustDomain: TRUST_DOMAIN, nowMs: this.#self.clock.wallMs() }
    const signed = sealBundle(root, content, bytes => sign(key, CONTEXT.policyBundle, bytes))
    return openBundle(signed, rawPublicKey(key), TRUST_DOMAIN)
  }

  async #oneOf(answers: readonly Answer[]): Promise<Uint8Array> {
    const answer = this.#sim.random.pick(answers)
    return answer === undefined ? new Uint8Array() : await answer()
  }

  #policyAnswer(): Uint8Array {
    const { random } = this.#sim
    const bundle = random.chance(0.5) ? this.forged() : random.pick(this.#policies)
    const known = bundle === undefined ? {} : { bundle: decode(policyPb.SignedBundleSchema, bundle.signed, 1 << 20) }
    return toBinary(policyPb.FetchResponseSchema, create(policyPb.FetchResponseSchema, known))
  }

  #trustAnswer(): Uint8Array {
    const { random, domain } = this.#sim
    const version = (this.#self.now?.trustService.version ?? 1n) + 1n
    const forged = domain.trustBundle(version, true)
    const signed = random.chance(0.5) ? forged : renumbered(domain.trustBundle(1n), version)
    return toBinary(trustPb.TrustAnswerSchema, create(trustPb.TrustAnswerSchema, { bundles: [signed] }))
  }

  #suspectSomebody(mesh: Running['mesh']): void {
    const { random, identities } = this.#sim
    const about = random.pick(identities)
    if (about === undefined) return
    const request = create(meshPb.ProbeRequestSchema, { ask: { case: 'suspected', value: rawKeyOf(about.peer) } })
    const bytes = toBinary(meshPb.ProbeRequestSchema, request)
    for (const to of random.sample(mesh.connected(), 3)) {
      mesh.request(to, '/warren/probe/1', bytes, { maxResponseBytes: 64 }).catch(() => {})
    }
  }

  #replay(mesh: Running['mesh']): void {
    const { random } = this.#sim
    const message = random.pick(this.#overheard)
    if (message === undefined) return
    const bytes = random.chance(0.5) ? message.bytes : changed(message.bytes, random.int(4_096))
    void mesh.publish(message.topic, bytes)
  }

  // An old policy also under the number of a new one.
  #announce(mesh: Running['mesh'], bundle: Bundle | undefined): void {
    if (bundle === undefined) return
    const version = this.#sim.random.chance(0.5) ? bundle.version : HUGE
    void mesh.publish('policy', announcementOf({ ...bundle, version }))
  }

  #claimTrust(mesh: Running['mesh']): void {
    const ask = create(trustPb.TrustRequestSchema, { haveVersion: HUGE })
    const bytes = toBinary(trustPb.TrustRequestSchema, ask)
    for (const to of this.#sim.random.sample(mesh.connected(), 2)) {
      mesh.request(to, '/warren/trust/1', bytes, { maxResponseBytes: 65_536 }).catch(() => {})
    }
  }
}

/** A trust bundle with another version and the signatures of the first. */
function renumbered(signed: Uint8Array, version: bigint): Uint8Array {
  const envelope = decode(identityPb.SignedTrustBundleSchema, signed, 1 << 20)
  const bundle = decode(identityPb.TrustBundleSchema, envelope.bundle, 1 << 20)
  const message = toBinary(identityPb.TrustBundleSchema, { ...bundle, version })
  return toBinary(identityPb.SignedTrustBundleSchema, { ...envelope, bundle: Uint8Array.from(message) })
}

function changed(bytes: Uint8Array, bit: number): Uint8Array {
  const copy = Uint8Array.from(bytes)
  if (copy.length === 0) return copy
  const at = (bit >> 3) % copy.length
  copy[at] = (copy[at] ?? 0) ^ (1 << (bit & 7))
  return copy
}
