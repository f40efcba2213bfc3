import { hash } from 'node:crypto'
import { decodeAnswers, encodeAnswers } from '../../src/cluster/gather/answer.ts'
import { Gathering, signedBytes } from '../../src/cluster/gather/index.ts'
import { type PeerKey, parseAddress, parsePattern } from '../../src/identity/index.ts'
import {
  type Admitted,
  type Cancel,
  CONTENT_DIGEST_CAPABILITY,
  createRegistry,
  type DriverPorts,
  encodeAck,
  type LocalRecord,
  type Profile,
  RegistryDriver,
  type RegistryState
} from '../../src/registry/index.ts'
import { Disk } from './disk.ts'
import { PowerLost } from './failure.ts'
import { admit, chainOf, type Signer, signerOf } from './keys.ts'
import { fingerprint } from './ledger.ts'
import type { Simulation } from './simulation.ts'
import { Witness } from './witness.ts'

export const TRUST_DOMAIN = 'sim.example'
/** Where every wall clock starts. */
const EPOCH_MS = 1_700_000_000_000

/** One host through all its runs: what stays when it crashes, and the run that is under way. */
export class Host {
  readonly machine: string
  readonly signer: Signer
  readonly disk: Disk
  readonly witness: Witness
  /** How far its wall clock is off. */
  skewMs = 0
  /** Does nothing for the time being, as after SIGSTOP. */
  paused = false
  /** It will never run again. */
  dead = false
  /** What its workloads have registered, by registration id. */
  readonly registered = new Map<string, { readonly record: LocalRecord; readonly version: number }>()
  driver: RegistryDriver | undefined
  gathering: Gathering | undefined
  /** Drops the answers that it should carry, and sends forged ones in their place. */
  lies = false
  readonly #sim: Simulation
  /** What waits for the end of a pause. */
  #held: Array<() => void> = []
  #content: string | undefined
  #registrations = 0
  #serial = 0
  #bootedAtMs = 0
  #profile: Profile | undefined
  /** Heads are worth an announcement only once this host has heard what the others know of it. */
  #announced = false

  constructor(sim: Simulation, machine: string) {
    this.#sim = sim
    this.machine = machine
    this.signer = signerOf(sim.options.seed, machine, sim.options.realCrypto)
    this.disk = new Disk(sim.random)
    this.witness = new Witness(sim, this)
  }

  get up(): boolean {
    return this.driver !== undefined
  }

  get peer() {
    return this.signer.peer
  }

  get wallMs(): number {
    return EPOCH_MS + this.#sim.queue.nowMs + this.skewMs
  }

  get monotonicMs(): number {
    return this.#sim.queue.nowMs - this.#bootedAtMs + 1
  }

  /** Fingerprint of what its workloads have registered. */
  get content(): string {
    this.#content ??= fingerprint([...this.registered].map(([id, { version }]) => [id, String(version)]))
    return this.#content
  }

  boot(): void {
    const sim = this.#sim
    this.#bootedAtMs = sim.queue.nowMs
    this.#announced = false
    sim.trace.add(sim.queue.nowMs, 'boot', this.machine, '', `skew ${this.skewMs}`)
    const state = createRegistry(
      {
        trustDomain: TRUST_DOMAIN,
        self: { peer: this.peer, machine: this.machine },
        highWaterMarks: sim.mutation.deletesHighWaterMarks === true ? [] : this.disk.load(),
        sign: bytes => this.#sign(bytes),
        verify: sim.mutation.verifiesNothing === true ? () => true : sim.verify,
        admit: chain => admit(chain, this.wallMs),
        limits: sim.limits,
        ...(sim.options.comparesContent === true || sim.mutation.comparesContent === true
          ? { contentSyncAbove: 2 }
          : {})
      },
      { wallMs: this.wallMs, monotonicMs: this.monotonicMs }
    )
    this.witness.watch(state)
    this.gathering = this.#gathering(state)
    const driver = new RegistryDriver(state, this.#ports(), sim.mutation.step)
    this.driver = driver
    this.#renewCertificate()
    this.act(() => driver.start())
  }

  /** Loses everything but its disk. */
  crash(why: string): void {
    const { trace, queue, ledger } = this.#sim
    if (this.driver === undefined) return
    trace.add(queue.nowMs, 'crash', this.machine, '', why)
    this.driver.stop()
    this.driver = undefined
    this.gathering?.stop()
    this.gathering = undefined
    this.disk.losePower()
    for (const id of this.registered.keys()) ledger.noteEnd(this.peer, id)
    this.registered.clear()
    this.#content = undefined
    this.witness.forgetRun()
  }

  /** Does something as this host, in one go, and looks at what came of it. */
  act<T>(what: (driver: RegistryDriver) => T): T | undefined {
    const { driver } = this
    if (driver === undefined) return undefined
    try {
      const result = what(driver)
      this.witness.check(driver.state)
      return result
    } catch (err) {
      if (!(err instanceof PowerLost)) throw err
      this.crash('power lost while writing')
      this.#sim.restartLater(this)
      return undefined
    }
  }

  /** Calls back in this run only, and not while the host is paused. */
  later(ms: number, run: (driver: RegistryDriver) => void): Cancel {
    const { driver } = this
    const { queue } = this.#sim
    let cancelled = false
    const fire = (): void => {
      if (cancelled || this.driver === undefined || this.driver !== driver) return
      if (this.paused) this.#held.push(fire)
      else this.act(run)
    }
    queue.after(ms, fire)
    return () => {
      cancelled = true
    }
  }

  /** Ends a pause: what came meanwhile comes now, in its order. */
  resume(): void {
    this.paused = false
    const held = this.#held
    this.#held = []
    for (const fire of held) this.#sim.queue.after(0, fire)
  }

  /** The first time: once it has synchronised with somebody, or is alone. */
  announce(): void {
    if (this.#announced) return
    this.#announced = true
    this.#tell()
  }

  register(labels: Readonly<Record<string, string>> = {}): void {
    this.#registrations += 1
    const name = `w${this.#registrations}`
    const registrationId = hash('sha256', `${this.machine} ${name}`, 'hex')
    this.#put({
      registrationId,
      address: parseAddress(`dev.app.${name}.default.${this.machine}`),
      protocols: ['tcp'],
      whitelist: [parsePattern('dev.*.*.*')],
      health: 'passing',
      labels,
      registeredAtMs: this.wallMs,
      ttlMs: 0,
      ports: [],
      weight: 100
    })
  }

  update(id: string): void {
    const known = this.registered.get(id)
    if (known !== undefined) this.#put(known.record, known.version + 1)
  }

  deregister(id: string): void {
    if (!this.registered.delete(id)) return
    this.#content = undefined
    this.#sim.ledger.noteEnd(this.peer, id)
    this.act(driver => {
      const before = driver.published
      this.#maybeAwait(driver)
      driver.dispatch({ type: 'local-change', puts: [], deletes: [id] })
      this.witness.notePublication(driver, before)
    })
  }

  /** Waits for the acknowledgements of what it has published. */
  awaitAcks(): void {
    this.act(driver => driver.dispatch({ type: 'await-acks', phase: 'ask' }))
  }

  // A caller waits for one change, and none for another.
  #maybeAwait(driver: RegistryDriver): void {
    if (this.#sim.random.chance(0.7)) driver.dispatch({ type: 'await-acks', phase: 'begin' })
  }

  renewCertificate(): void {
    this.#renewCertificate()
    if (this.#announced) this.#tell()
  }

  #put(record: LocalRecord, version = 1): void {
    this.registered.set(record.registrationId, { record, version })
    this.#content = undefined
    const labels = { ...record.labels, version: String(version) }
    this.act(driver => {
      const before = driver.published
      this.#maybeAwait(driver)
      driver.dispatch({ type: 'local-change', puts: [{ ...record, labels }], deletes: [] })
      this.witness.notePublication(driver, before)
    })
  }

  #renewCertificate(): void {
    this.#serial += 1
    const notAfterMs = EPOCH_MS + this.#sim.queue.nowMs + 3_600_000
    const identity: Admitted = { peer: this.peer, machine: this.machine, scopes: [], notAfterMs }
    this.#profile = {
      meshAddresses: [`/dns4/${this.machine}/tcp/7460`],
      dataAddresses: [`${this.machine}:7461`],
      capabilities: this.#sim.hosts.indexOf(this) % 3 === 2 ? [] : [CONTENT_DIGEST_CAPABILITY],
      policyVersion: 1n,
      trustVersion: 1n,
      draining: false,
      jwtKeys: [],
      softwareVersion: '',
      protocolVersions: [],
      nodeChain: chainOf(identity, this.#serial)
    }
  }

  #tell(): void {
    const profile = this.#profile
    if (profile !== undefined) this.act(driver => driver.dispatch({ type: 'local-head', profile }))
  }

  #sign(bytes: Uint8Array): Uint8Array {
    const own = this.driver?.state.own
    if (own !== undefined) {
      const { epoch, seq } = own
      this.#sim.ledger.noteSigned(bytes, { owner: this.peer, epoch, seq, content: this.content })
    }
    return this.signer.sign(bytes)
  }

  #gathering(state: RegistryState): Gathering {
    const sim = this.#sim
    return new Gathering({
      self: this.peer,
      isMember: peer => state.entries.has(peer),
      sign: statement => this.signer.sign(signedBytes(statement)),
      verify: answer => {
        const key = state.entries.get(answer.author)?.ownerKey
        return key !== undefined && sim.verify(key, signedBytes(answer), answer.signature)
      },
      monotonicMs: () => this.monotonicMs,
      random: () => sim.random.next(),
      after: (ms, run) => this.later(ms, run),
      connected: () => sim.network.connected(this),
      send: (peer, bytes, onDelivered, onFailure) =>
        sim.network.gather(this, peer, this.lies ? forge(bytes, this.peer) : bytes, onDelivered, onFailure),
      isNews: ({ author, number }) => (state.acks.get(author) ?? 0n) < number,
      deliver: ({ author, run, number }) =>
        this.driver?.dispatch({ type: 'ack', from: author, bytes: encodeAck(run, number) }),
      onUndelivered: () => {},
      onCarried: () => {}
    })
  }

  #ports(): DriverPorts {
    const sim = this.#sim
    return {
      now: () => ({ wallMs: this.wallMs, monotonicMs: this.monotonicMs }),
      random: () => sim.random.next(),
      after: (ms, run) => this.later(ms, run),
      connected: () => sim.network.connected(this),
      listening: () => sim.network.connected(this),
      publish: bytes => {
        this.witness.checkPublish()
        sim.network.publish(this, bytes)
      },
      request: (peer, bytes, onResponse, onFailure) => sim.network.request(this, peer, bytes, onResponse, onFailure),
      ack: (peer, bytes, onDelivered, onFailure) => {
        this.witness.checkAck(peer, bytes)
        return sim.network.ack(this, peer, bytes, onDelivered, onFailure)
      },
      gather: ({ owner, epoch, seq, via, again, isSent }) => {
        if (!isSent) this.witness.checkAck(owner, encodeAck(epoch, seq))
        const asked = { requester: owner, kind: 'acknowledgement', run: epoch, number: seq } as const
        this.gathering?.answer({ ...asked, via, again, isAnswered: isSent })
      },
      synchronised: () => this.later(0, () => this.announce()),
      saveHighWaterMarks: highWaterMarks => this.disk.save(highWaterMarks),
      deleteHighWaterMark: owner => {
        this.witness.forget(owner)
        this.disk.forget(owner)
      },
      notify: effect => {
        if (effect.type !== 'limit') this.witness.note(effect)
      }
    }
  }
}

/** Of a message that a liar should carry: its own answers, or else the others with signatures that it made up. */
function forge(bytes: Uint8Array, liar: PeerKey): Uint8Array {
  const answers = decodeAnswers(bytes)
  const own = answers.filter(({ author }) => author === liar)
  const others = answers.map(answer => ({ ...answer, signature: new Uint8Array(64) }))
  return encodeAnswers(own.length > 0 ? own : others)
}
