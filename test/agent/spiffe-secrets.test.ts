import assert from 'node:assert/strict'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import test from 'node:test'
import { create, fromBinary, type MessageInitShape } from '@bufbuild/protobuf'
import type { Caller } from '../../src/api/index.ts'
import { envoyDiscoveryPb, envoyTlsPb } from '../../src/wire/index.ts'
import { TRUST_DOMAIN } from '../identity/domain.ts'
import { Agent, caller, domain, ID } from './spiffe-agent.ts'

const SECRET = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret'
const OTHER_ID = `spiffe://${TRUST_DOMAIN}/dev/web/other/default/a`
const DOMAIN_ID = `spiffe://${TRUST_DOMAIN}`
const code = (wanted: string) => (err: Error & { code?: string }) => err.code === wanted

type Request = MessageInitShape<typeof envoyDiscoveryPb.DiscoveryRequestSchema>
type Response = MessageInitShape<typeof envoyDiscoveryPb.DiscoveryResponseSchema>

/** A stream as Envoy opens it. */
class Envoy {
  readonly #requests: envoyDiscoveryPb.DiscoveryRequest[] = []
  #wake = Promise.withResolvers<void>()
  readonly #answers: AsyncIterator<Response>

  constructor(agent: Agent, who: Caller, t: test.TestContext) {
    const ending = new AbortController()
    t.after(() => ending.abort())
    this.#answers = agent.socket.secrets.streamSecrets(this.#outbox(), who, ending.signal)[Symbol.asyncIterator]()
  }

  say(request: Request): void {
    this.#requests.push(create(envoyDiscoveryPb.DiscoveryRequestSchema, { typeUrl: SECRET, ...request }))
    this.#wake.resolve()
  }

  async hears(): Promise<Response> {
    const { value, done } = await this.#answers.next()
    assert.equal(done, false)
    return value
  }

  async *#outbox() {
    for (;;) {
      const request = this.#requests.shift()
      if (request !== undefined) yield request
      else {
        await this.#wake.promise
        this.#wake = Promise.withResolvers()
      }
    }
  }
}

function secretsOf({ resources = [] }: Response): envoyTlsPb.Secret[] {
  return resources.map(any => {
    assert.equal(any.typeUrl, SECRET)
    return fromBinary(envoyTlsPb.SecretSchema, any.value ?? new Uint8Array())
  })
}

function textOf(source: { specifier: { value?: Uint8Array | undefined } } | undefined): string {
  return Buffer.from(source?.specifier.value ?? []).toString()
}

/** The serial number of the only certificate; it must be that of the key. */
function serialOf(response: Response): string {
  const [secret] = secretsOf(response)
  assert.ok(secret?.type.case === 'tlsCertificate')
  const leaf = new X509Certificate(textOf(secret.type.value.certificateChain))
  assert.ok(leaf.checkPrivateKey(createPrivateKey(textOf(secret.type.value.privateKey))))
  return leaf.serialNumber
}

test('a proxy gets the certificates and roots that it names, as those of SPIRE are named', async () => {
  const agent = new Agent()
  agent.register(ID, 1000, 1)
  agent.register(OTHER_ID, 1000, 1)
  const ask = async (...resourceNames: string[]) => {
    const request = create(envoyDiscoveryPb.DiscoveryRequestSchema, { typeUrl: SECRET, resourceNames })
    return secretsOf(await agent.socket.secrets.fetchSecrets(request, caller(1000, 7), new AbortController().signal))
  }
  const [roots, first] = await ask('ROOTCA', 'default')
  assert.equal(roots?.name, 'ROOTCA')
  assert.ok(roots?.type.case === 'validationContext')
  const { customValidatorConfig } = roots.type.value
  assert.equal(customValidatorConfig?.name, 'envoy.tls.cert_validator.spiffe')
  const config = fromBinary(
    envoyTlsPb.SPIFFECertValidatorConfigSchema,
    customValidatorConfig?.typedConfig?.value ?? new Uint8Array()
  )
  assert.deepEqual(
    config.trustDomains.map(({ name }) => name),
    [TRUST_DOMAIN]
  )
  assert.ok(new X509Certificate(textOf(config.trustDomains[0]?.trustBundle)).raw.equals(domain.root))
  assert.equal(first?.name, 'default')
  assert.ok(first?.type.case === 'tlsCertificate')
  assert.equal(new X509Certificate(textOf(first.type.value.certificateChain)).subjectAltName, `URI:${ID}`)
  assert.deepEqual(
    (await ask(OTHER_ID)).map(({ name }) => name),
    [OTHER_ID]
  )
  assert.deepEqual(
    (await ask()).map(({ name }) => name),
    [DOMAIN_ID, ID, OTHER_ID]
  )
  await assert.rejects(ask('default', 'spiffe://example.org/not/mine'), code('INVALID_ARGUMENT'))
})

test('a proxy that asks for it gets plain roots, in every answer of its stream', async t => {
  const agent = new Agent()
  agent.register(ID, 1000, 1)
  const envoy = new Envoy(agent, caller(1000, 7), t)
  const isPlain = (response: Response) => {
    const [secret] = secretsOf(response)
    assert.ok(secret?.type.case === 'validationContext')
    return secret.type.value.trustedCa !== undefined && secret.type.value.customValidatorConfig === undefined
  }
  envoy.say({ resourceNames: ['ROOTCA'], node: { metadata: { disable_spiffe_cert_validation: true } } })
  const first = await envoy.hears()
  assert.ok(isPlain(first))
  envoy.say({ resourceNames: [DOMAIN_ID], versionInfo: '1', responseNonce: first.nonce ?? '' })
  assert.ok(isPlain(await envoy.hears()))
})

test('a renewed certificate is pushed once, and not again to a proxy that refuses it', async t => {
  const agent = new Agent()
  agent.register(ID, 1000, 1)
  const envoy = new Envoy(agent, caller(1000, 7), t)
  envoy.say({ resourceNames: ['default'] })
  const first = await envoy.hears()
  assert.equal(first.versionInfo, '1')
  envoy.say({ resourceNames: ['default'], versionInfo: '1', responseNonce: first.nonce ?? '' })
  agent.wallMs += 3_000_000
  agent.change()
  const second = await envoy.hears()
  assert.equal(second.versionInfo, '2')
  assert.notEqual(second.nonce, first.nonce)
  assert.notEqual(serialOf(second), serialOf(first))

  // It refuses it, and asks for the roots in the same breath: those are news, the refused certificate is not.
  const errorDetail = { code: 3, message: 'KEY_VALUES_MISMATCH' }
  envoy.say({ resourceNames: ['default'], versionInfo: '1', responseNonce: second.nonce ?? '', errorDetail })
  envoy.say({ resourceNames: ['ROOTCA'], versionInfo: '1', responseNonce: second.nonce ?? '' })
  const third = await envoy.hears()
  assert.equal(third.versionInfo, '3')
  assert.deepEqual(
    secretsOf(third).map(({ name }) => name),
    ['ROOTCA']
  )
  assert.deepEqual(agent.warnings, ['a proxy refused its certificates: default: KEY_VALUES_MISMATCH'])
})

test('what a proxy says about an answer that was replaced counts for nothing', async t => {
  const agent = new Agent()
  agent.register(ID, 1000, 1)
  const envoy = new Envoy(agent, caller(1000, 7), t)
  envoy.say({ resourceNames: ['default'] })
  const { nonce = '' } = await envoy.hears()
  envoy.say({ resourceNames: ['ROOTCA'], versionInfo: '1', responseNonce: 'another' })
  envoy.say({ resourceNames: [ID], versionInfo: '1', responseNonce: nonce })
  assert.deepEqual(
    secretsOf(await envoy.hears()).map(({ name }) => name),
    [ID]
  )
})

test('a proxy without an identity, or whose identity ends, gets an error and nothing else', async t => {
  const agent = new Agent()
  agent.register(ID, 1000, 1)
  const stranger = new Envoy(agent, caller(1001, 7), t)
  stranger.say({ resourceNames: ['ROOTCA'] })
  await assert.rejects(stranger.hears(), code('PERMISSION_DENIED'))
  const envoy = new Envoy(agent, caller(1000, 7), t)
  envoy.say({ resourceNames: ['default'] })
  await envoy.hears()
  agent.registrations = []
  agent.change()
  await assert.rejects(envoy.hears(), code('PERMISSION_DENIED'))
})

test('a proxy cannot ask for another type, nor for more names than a stream may have', async t => {
  const agent = new Agent()
  agent.register(ID, 1000, 1)
  for (const request of [
    { typeUrl: 'type.googleapis.com/envoy.config.cluster.v3.Cluster' },
    { resourceNames: Array.from({ length: 129 }, (_, index) => `name ${index}`) }
  ]) {
    const envoy = new Envoy(agent, caller(1000, 7), t)
    envoy.say(request)
    await assert.rejects(envoy.hears(), code('INVALID_ARGUMENT'))
  }
})
