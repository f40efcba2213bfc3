import assert from 'node:assert/strict'
import type { KeyObject } from 'node:crypto'
import test from 'node:test'
import { AckRelay, RELAYS } from '../../src/cluster/ack-relay.ts'
import { ErrorCode, WarrenError } from '../../src/core/index.ts'
import {
  CONTEXT,
  generatePeerKeyPair,
  type PeerKey,
  peerKeyOf,
  rawKeyOf,
  rawPublicKey,
  sign,
  verifySignature
} from '../../src/identity/index.ts'
import type { RequestHandler } from '../../src/mesh/index.ts'
import { create, registryPb, toBinary } from '../../src/wire/index.ts'
import { recordingMetrics } from '../harness/recording-metrics.ts'

const ACK = Uint8Array.of(8, 1, 16, 7)
const signal = AbortSignal.timeout(20_000)
const never = (limit: AbortSignal): Promise<void> =>
  new Promise((_resolve, reject) => limit.addEventListener('abort', () => reject(limit.reason), { once: true }))

class Member {
  readonly key: KeyObject = generatePeerKeyPair()
  readonly peer: PeerKey = peerKeyOf(rawPublicKey(this.key))
  readonly links = new Set<Member>()
  readonly got: Array<readonly [ack: string, author: PeerKey]> = []
  readonly relay: AckRelay
  handler: RequestHandler = async () => assert.fail()
  asked = 0

  constructor(all: Set<Member>) {
    all.add(this)
    this.relay = new AckRelay({
      mesh: {
        peer: this.peer,
        connected: () => [...this.links].map(({ peer }) => peer),
        isConnected: peer => [...this.links].some(other => other.peer === peer),
        request: async (peer, _protocol, bytes) => {
          const other = [...this.links].find(link => link.peer === peer)
          if (other === undefined) throw new WarrenError(ErrorCode.DestinationUnreachable, 'not connected')
          other.asked += 1
          return await other.handler(this.peer, bytes, signal)
        },
        handle: (_protocol, handler) => {
          this.handler = handler
        }
      },
      isMember: peer => [...all].some(member => member.peer === peer),
      sign: bytes => sign(this.key, CONTEXT.relayedAck, bytes),
      verify: (key, bytes, signature) => verifySignature(key, CONTEXT.relayedAck, bytes, signature),
      monotonicMs: () => 0,
      metrics: recordingMetrics().metrics
    })
    this.relay.deliverTo((ack, author) => this.got.push([Buffer.from(ack).toString('hex'), author]))
  }
}

function link(one: Member, other: Member): void {
  one.links.add(other)
  other.links.add(one)
}

function three(): { all: Set<Member>; author: Member; middle: Member; owner: Member } {
  const all = new Set<Member>()
  const [author, middle, owner] = [new Member(all), new Member(all), new Member(all)]
  link(author, middle)
  link(middle, owner)
  return { all, author, middle, owner }
}

/** What `from` sends when it may lie about each part. */
function message(owner: Member, author: Member, signer: Member, signed: Uint8Array = ACK): Uint8Array {
  const ownerKey = rawKeyOf(owner.peer)
  const signature = sign(signer.key, CONTEXT.relayedAck, Buffer.concat([ownerKey, signed]))
  const fields = { owner: ownerKey, author: rawKeyOf(author.peer), ack: ACK, signature }
  return toBinary(registryPb.RelayedAckSchema, create(registryPb.RelayedAckSchema, fields))
}

test('an acknowledgement reaches an owner over a member that both know, which the next one is given to at once', async () => {
  const { author, middle, owner } = three()
  await author.relay.send(owner.peer, ACK, never, signal)
  assert.deepEqual(owner.got, [[Buffer.from(ACK).toString('hex'), author.peer]])
  let tried = 0
  const direct = async (limit: AbortSignal): Promise<void> => {
    tried += 1
    await never(limit)
  }
  await author.relay.send(owner.peer, ACK, direct, signal)
  assert.equal(owner.got.length, 2)
  assert.equal(tried, 0)
  assert.equal(middle.asked, 2)
})

test('whoever is connected to the owner asks nobody else', async () => {
  const { author, middle, owner } = three()
  link(author, owner)
  let tried = 0
  const direct = async (): Promise<void> => {
    tried += 1
  }
  await author.relay.send(owner.peer, ACK, direct, signal)
  assert.deepEqual([tried, middle.asked], [1, 0])
  await assert.rejects(
    author.relay.send(owner.peer, ACK, () => Promise.reject(new Error('lost')), signal),
    /lost/
  )
  assert.equal(middle.asked, 0)
})

test('an owner takes no acknowledgement that is not signed by its author, a member, for this owner', async () => {
  const { all, author, middle, owner } = three()
  const stranger = new Member(new Set())
  const refused = { code: ErrorCode.PermissionDenied }
  await assert.rejects(owner.handler(middle.peer, message(owner, author, middle), signal), refused)
  await assert.rejects(owner.handler(middle.peer, message(owner, author, author, Uint8Array.of(8, 9)), signal), refused)
  await assert.rejects(owner.handler(middle.peer, message(owner, stranger, stranger), signal), refused)
  const other = new Member(all)
  const toOther = message(other, author, author)
  const fields = { owner: rawKeyOf(owner.peer), author: rawKeyOf(author.peer), ack: ACK, signature: toOther.slice(-64) }
  const turned = toBinary(registryPb.RelayedAckSchema, create(registryPb.RelayedAckSchema, fields))
  await assert.rejects(owner.handler(middle.peer, turned, signal), refused)
  await assert.rejects(owner.handler(middle.peer, new Uint8Array(600), signal), { code: ErrorCode.MessageTooLarge })
  await assert.rejects(owner.handler(middle.peer, new Uint8Array(), signal), { code: ErrorCode.MessageMalformed })
  assert.deepEqual(owner.got, [])
})

test('a member hands on only what its author itself sends it, one hop, and so many', async () => {
  const { all, author, middle, owner } = three()
  const refused = { code: ErrorCode.PermissionDenied }
  await assert.rejects(middle.handler(owner.peer, message(owner, author, author), signal), refused)
  await assert.rejects(middle.handler(middle.peer, message(owner, author, author), signal), refused)
  const far = new Member(all)
  const unreachable = { code: ErrorCode.DestinationUnreachable }
  await assert.rejects(middle.handler(author.peer, message(far, author, author), signal), unreachable)
  const bytes = message(owner, author, author)
  const outcomes = await Promise.allSettled(
    Array.from({ length: 10 * RELAYS.perSecond }, () => middle.handler(author.peer, bytes, signal))
  )
  const failed = outcomes.filter(outcome => outcome.status === 'rejected')
  assert.ok(failed.length >= 5 * RELAYS.perSecond)
  for (const { reason } of failed) assert.equal(reason.code, ErrorCode.LimitExceeded)
})
