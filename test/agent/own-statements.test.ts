import assert from 'node:assert/strict'
import test from 'node:test'
import type { Caller } from '../../src/api/index.ts'
import { policyHandlers } from '../../src/api/services/policy.ts'
import { signJwt, validateJwt } from '../../src/ca/jwt.ts'
import { announcedKey } from '../../src/ca/membership/index.ts'
import type { PolicyService } from '../../src/cluster/policy-service.ts'
import { ErrorCode } from '../../src/core/index.ts'
import {
  CONTEXT,
  generatePeerKeyPair,
  generateSigningKeyPair,
  peerKeyOf,
  rawPublicKey,
  sign
} from '../../src/identity/index.ts'
import { addRevocation, type NewRevocation, openBundle, sealBundle } from '../../src/policy/index.ts'
import { refusal } from './support.ts'

const NOW_MS = Date.UTC(2026, 5, 1)

test('a JWT-SVID that those who validate it would refuse for its size is not given out', async () => {
  const key = generateSigningKeyPair()
  const spiffeId = 'spiffe://example.org/dev/web/nginx/default/a'
  const hosts = [{ machine: 'a', scopes: [], jwtKeys: [announcedKey(key)] }]
  const audiences = (text: string): string[] => Array.from({ length: 16 }, (_, at) => String(at).padEnd(256, text))
  const token = await signJwt(key, spiffeId, audiences('x'), NOW_MS, 60_000)
  assert.equal((await validateJwt(token, audiences('x')[3]!, 'example.org', hosts, NOW_MS)).spiffeId, spiffeId)
  const tooLarge = signJwt(key, spiffeId, audiences('あ'), NOW_MS, 60_000)
  await assert.rejects(tooLarge, refusal(ErrorCode.InvalidArgument, /more than 16384 bytes/))
})

test('a host that was seen under more keys than one statement may name can still be evicted', async () => {
  const peers = Array.from({ length: 100 }, () => peerKeyOf(rawPublicKey(generatePeerKeyPair())))
  const adminKey = generatePeerKeyPair()
  let made: NewRevocation | undefined
  const policy = {
    isAdmin: true,
    version: 1n,
    revoke: async (wanted: NewRevocation) => {
      made = wanted
      return addRevocation(undefined, wanted, NOW_MS).added
    }
  }
  const handlers = policyHandlers({
    policy: policy as unknown as PolicyService,
    machine: 'a',
    knownHost: machine => ({ peers: machine === 'b' ? peers : [], keys: [] }),
    authorityKeysOf: async () => [],
    hostsBelow: () => [],
    revokeTokensOf: () => {},
    onRuleChange: () => {},
    nowMs: () => NOW_MS
  })
  const request = { machine: 'b', reason: '', force: false } as Parameters<typeof handlers.evict>[0]
  await handlers.evict(request, {} as Caller, new AbortController().signal)
  assert.ok(made !== undefined)
  const { revocations } = addRevocation(undefined, made, NOW_MS)
  const signed = sealBundle(undefined, { revocations, trustDomain: 'example.org', nowMs: NOW_MS }, bytes =>
    sign(adminKey, CONTEXT.policyBundle, bytes)
  )
  // As every other host opens it.
  const [revocation] = openBundle(signed, rawPublicKey(adminKey), 'example.org').revocations
  assert.equal(revocation?.machine, 'b')
  assert.deepEqual(revocation.peers, peers.slice(-64))
})
