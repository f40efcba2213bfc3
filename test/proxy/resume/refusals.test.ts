import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { describe, it } from 'node:test'
import { silentLogger, systemClock } from '../../../src/core/index.ts'
import { parseAddress, spiffeIdOf } from '../../../src/identity/index.ts'
import type { ProxyDeps } from '../../../src/proxy/deps.ts'
import { Flow } from '../../../src/proxy/flow/flow.ts'
import { HandedFlows } from '../../../src/proxy/handed-flows.ts'
import type { Admission } from '../../../src/proxy/inbound/index.ts'
import { ResumableFlows } from '../../../src/proxy/inbound/resumable-flows.ts'
import { Interruptions } from '../../../src/proxy/interruptions.ts'
import type { NearSide, NewPath, ResumableLeg } from '../../../src/proxy/relay/index.ts'
import { Continuity, KeptAccounts, type Offer, proofOf, type ResumeLink } from '../../../src/proxy/resume/index.ts'
import type { ResumeAsked } from '../../../src/proxy/session/index.ts'
import { recordingMetrics } from '../../harness/recording-metrics.ts'

const DOMAIN = 'test.example'
const SOURCE = parseAddress('dev.test.client.default.alpha')
const DESTINATION = parseAddress('dev.test.server.default.beta')
const ID = randomBytes(32).toString('hex')
const KEY = 'a-session.1.0'
const SECRET = randomBytes(32)

/** A flow that an agent serves and that waits: 100 bytes were sent to its source, and 40 acknowledged. */
function served() {
  let isAllowed = true
  const deps = {
    trustDomain: DOMAIN,
    directory: { sourceAt: () => true },
    local: { isAlive: () => true },
    log: silentLogger,
    clock: systemClock
  } as unknown as ProxyDeps
  const admission = {
    authorize: () => {
      if (!isAllowed) throw new Error('no rule allows it')
    }
  } as unknown as Admission
  const accounts = new KeptAccounts(
    { resumeBytes: 2 ** 20, resumeBytesPerWorkload: 2 ** 20 },
    recordingMetrics(silentLogger).metrics
  )
  const flows = new ResumableFlows(
    deps,
    admission,
    new Interruptions(deps, 30_000, accounts),
    new HandedFlows(silentLogger)
  )
  const flow = new Flow({
    id: 'f',
    direction: 'inbound',
    source: SOURCE,
    sourceId: undefined,
    sourceMachine: 'alpha',
    protocol: 'tcp',
    carrier: 'direct',
    openedAtMs: 0,
    startedAtMs: 0
  })
  flow.destination = { registrationId: ID, address: DESTINATION }
  const continuity = new Continuity(flows.accountOf(flow))
  continuity.keep(Buffer.alloc(100))
  continuity.acknowledge(40)
  continuity.lost()
  const granted: number[] = []
  const leg = {
    link: { peer: () => ({ leafDer: new Uint8Array(), machine: 'alpha' }) },
    accept: (offer: Offer, _far: NewPath, begin: (position: number) => void) => begin(continuity.accept(offer).position)
  } as unknown as ResumableLeg
  flow.signal.addEventListener('abort', () => {
    continuity.over()
    flows.over(flow, leg, flow.cutBy?.kind)
  })
  flows.began(flow, leg, { key: KEY, secret: SECRET } as unknown as ResumeLink, {} as NearSide)
  const ask = (changed: Partial<ResumeAsked> = {}, by: object = {}, sealed: object = {}): void => {
    const offer = { attempt: 1, position: 40 }
    const name = {
      key: KEY,
      source: spiffeIdOf(DOMAIN, SOURCE),
      destination: spiffeIdOf(DOMAIN, DESTINATION),
      ...sealed
    }
    const asked = { registrationId: ID, key: KEY, offer, ...changed }
    const proof = changed.proof ?? proofOf(SECRET, name, { ...offer, ...sealed })
    const source = { spiffeId: spiffeIdOf(DOMAIN, SOURCE), address: SOURCE, machine: 'alpha', notAfterMs: 0 }
    const requester = { source, destinationPrefix: ID.slice(0, 32), ...by }
    flows.resume(
      { ...asked, proof },
      requester,
      () => ({}) as NewPath,
      (_flow, position) => void granted.push(position)
    )
  }
  return {
    flows,
    flow,
    leg,
    granted,
    ask,
    /** With a right proof for that very offer. */
    offer: (offer: Offer) => ask({ offer }, {}, offer),
    deny: () => {
      isAllowed = false
    }
  }
}

const UNKNOWN = { code: 'FLOW_CUT', message: /no such flow can be resumed here/ }

describe('a request to resume a flow', () => {
  it('is granted to the workload that opened it, with its secret', () => {
    const { ask, granted } = served()
    ask()
    assert.deepEqual(granted, [0])
  })

  const other = parseAddress('dev.test.other.default.alpha')
  const away = parseAddress('dev.test.client.default.gamma')
  for (const [what, changed, by, sealed] of [
    ['with a key that nobody has', { key: 'a-session.3.0' }, {}, { key: 'a-session.3.0' }],
    ['with the proof of another flow', {}, {}, { key: 'a-session.3.0' }],
    ['with a proof for another destination', {}, {}, { destination: 'spiffe://test.example/x' }],
    ['with a proof for another position', { offer: { attempt: 1, position: 41 } }, {}, {}],
    ['with a proof for another attempt', { offer: { attempt: 2, position: 40 } }, {}, {}],
    ['with a proof that is none', { proof: 'é'.repeat(64) }, {}, {}],
    ['with no proof', { proof: '' }, {}, {}],
    [
      'from another workload of the same host',
      {},
      { source: { spiffeId: spiffeIdOf(DOMAIN, other), address: other, machine: 'alpha', notAfterMs: 0 } },
      {}
    ],
    [
      'from a workload of that name on another host',
      {},
      { source: { spiffeId: spiffeIdOf(DOMAIN, away), address: away, machine: 'gamma', notAfterMs: 0 } },
      {}
    ],
    ['for another registration', { registrationId: randomBytes(32).toString('hex') }, {}, {}],
    ['on a session to another registration', {}, { destinationPrefix: 'f'.repeat(32) }, {}],
    ['on a session to none', {}, { destinationPrefix: '' }, {}]
  ] as const) {
    it(`is refused ${what}, and the flow waits on`, () => {
      const { ask, flow, granted } = served()
      assert.throws(() => ask(changed, by, sealed), UNKNOWN)
      assert.equal(flow.cutBy, undefined)
      ask()
      assert.deepEqual(granted, [0], 'the right one is granted afterwards')
    })
  }

  it('is refused when it is repeated, and the flow goes on', () => {
    const { ask, offer, flow, granted } = served()
    offer({ attempt: 3, position: 40 })
    assert.throws(() => offer({ attempt: 3, position: 40 }), { code: 'FLOW_CUT', message: /made before/ })
    assert.throws(() => ask(), { message: /made before/ })
    assert.equal(flow.cutBy, undefined)
    offer({ attempt: 4, position: 100 })
    assert.deepEqual(granted, [0, 0])
  })

  it('cuts the flow when its own end asks for what was acknowledged, or for what was never sent', () => {
    for (const position of [0, 39, 101, 2 ** 50]) {
      const { offer, flow, granted } = served()
      assert.throws(() => offer({ attempt: 1, position }), { code: 'FLOW_CUT' })
      assert.match(flow.cutBy?.text ?? '', /cannot continue/)
      assert.deepEqual(granted, [])
    }
  })

  it('is decided by the policy anew, and cuts the flow when that denies', () => {
    const { ask, flow, deny, granted } = served()
    deny()
    assert.throws(() => ask(), { code: 'FLOW_CUT', message: /no longer allowed/ })
    assert.equal(flow.cutBy?.kind, 'policy')
    assert.deepEqual(granted, [])
  })

  it('is refused after a cut and after the end, with how it ended, and only to the end that opened it', () => {
    const cut = served()
    cut.flow.cut({ kind: 'policy', text: 'no longer allowed' })
    assert.throws(() => cut.ask(), { code: 'FLOW_CUT', cut: { kind: 'policy', text: 'it was cut' } })
    const source = { spiffeId: spiffeIdOf(DOMAIN, other), address: other, machine: 'alpha', notAfterMs: 0 }
    assert.throws(() => cut.ask({}, { source }), UNKNOWN)
    const ended = served()
    ended.flows.over(ended.flow, ended.leg, undefined)
    assert.throws(() => ended.ask(), { code: 'FLOW_CUT', cut: undefined, message: /the flow has ended/ })
    assert.deepEqual([...cut.granted, ...ended.granted], [])
  })
})
