import assert from 'node:assert/strict'
import test from 'node:test'
import { type KeyElsewhere, Signing, type WantedSignature } from '../../src/cluster/admins/signing.ts'
import { ErrorCode } from '../../src/core/index.ts'
import { CONTEXT, generatePeerKeyPair, peerKeyOf, rawPublicKey, sign } from '../../src/identity/index.ts'

const KEY = generatePeerKeyPair()
const BY: KeyElsewhere = { key: peerKeyOf(rawPublicKey(KEY)), uri: 'ssh-agent:SHA256:x' }
const CONTENT = Buffer.from('what an admin states')
const WANTED = { context: CONTEXT.policySet, content: CONTENT }

interface Command {
  readonly connection: AbortSignal
  readonly leave: () => void
  readonly next: () => Promise<WantedSignature | undefined>
}

/** A connection that offers signatures. */
async function command(signing: Signing): Promise<Command> {
  const controller = new AbortController()
  const { signal: connection } = controller
  const offers = signing.offer(connection, connection)
  assert.equal((await offers.next()).value, undefined)
  return { connection, leave: () => controller.abort(), next: async () => (await offers.next()).value ?? undefined }
}

test('a call is signed by its own connection, and by no other one that offers signatures', async () => {
  const signing = new Signing()
  const [bob, eve] = [await command(signing), await command(signing)]
  const made = signing.within(bob.connection, () => signing.sign(BY, WANTED))
  const wanted = await bob.next()
  assert.deepEqual(Buffer.from(wanted!.content), CONTENT)
  const signature = sign(KEY, CONTEXT.policySet, CONTENT)
  // The id alone does not let another connection answer.
  assert.throws(() => signing.answer(eve.connection, wanted!.id, { signature }), { code: ErrorCode.NotFound })
  signing.answer(bob.connection, wanted!.id, { signature })
  assert.deepEqual(await made, signature)
  const stranger = new AbortController().signal
  await assert.rejects(
    signing.within(stranger, () => signing.sign(BY, WANTED)),
    { code: ErrorCode.SignerNeeded }
  )
  await assert.rejects(signing.sign(BY, WANTED), { code: ErrorCode.SignerNeeded }, 'work of the agent itself')
})

test('a signature for another purpose, of other bytes, or by another key is refused', async () => {
  const signing = new Signing()
  const bob = await command(signing)
  const others = [
    sign(KEY, CONTEXT.question, CONTENT),
    sign(KEY, CONTEXT.policySet, Buffer.from('something else')),
    sign(generatePeerKeyPair(), CONTEXT.policySet, CONTENT),
    new Uint8Array(64),
    new Uint8Array()
  ]
  for (const signature of others) {
    const made = signing.within(bob.connection, () => signing.sign(BY, WANTED))
    const refused = assert.rejects(made, { code: ErrorCode.SignatureInvalid })
    signing.answer(bob.connection, (await bob.next())!.id, { signature })
    await refused
  }
})

test('a call whose signature is refused fails with the reason, as does one whose command ends', async () => {
  const signing = new Signing()
  const bob = await command(signing)
  const refused = signing.within(bob.connection, () => signing.sign(BY, WANTED))
  const failed = assert.rejects(refused, {
    code: ErrorCode.SignerNeeded,
    reason: 'it was not signed: I did not mean it'
  })
  signing.answer(bob.connection, (await bob.next())!.id, { refusal: 'I did not mean it' })
  await failed
  const left = signing.within(bob.connection, () => signing.sign(BY, WANTED))
  const ended = assert.rejects(left, { code: ErrorCode.SignerNeeded, reason: 'the command that signs has ended' })
  signing.end(bob.connection)
  await ended
  assert.throws(() => signing.within(bob.connection, () => signing.requireOffer(BY)), { code: ErrorCode.SignerNeeded })
})

test('the signatures that one connection is asked for are bounded, and the connections that offer them', async () => {
  const signing = new Signing()
  const bob = await command(signing)
  const ask = (): Promise<Uint8Array> => signing.within(bob.connection, () => signing.sign(BY, WANTED))
  const waiting = Array.from({ length: 8 }, ask)
  await assert.rejects(ask(), { code: ErrorCode.LimitExceeded })
  for (let offers = 1; offers < 32; offers += 1) await command(signing)
  await assert.rejects(command(signing), { code: ErrorCode.LimitExceeded })
  const ended = waiting.map(made => assert.rejects(made, { code: ErrorCode.SignerNeeded }))
  signing.end(bob.connection)
  await Promise.all(ended)
  await command(signing)
})

test('what a stream signs later is asked on the connection of its call', async () => {
  const signing = new Signing()
  const bob = await command(signing)
  async function* answers(): AsyncGenerator<Uint8Array> {
    for (;;) {
      await new Promise(resolve => setImmediate(resolve))
      yield await signing.sign(BY, WANTED)
    }
  }
  const stream = signing.stream(bob.connection, answers)
  const signature = sign(KEY, CONTEXT.policySet, CONTENT)
  for (let count = 0; count < 2; count += 1) {
    const next = stream.next()
    signing.answer(bob.connection, (await bob.next())!.id, { signature })
    assert.deepEqual((await next).value, signature)
  }
  await stream.return(undefined)
})
