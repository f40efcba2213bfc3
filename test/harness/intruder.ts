import 'reflect-metadata'
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import http2 from 'node:http2'
import { join } from 'node:path'
import tls from 'node:tls'
import * as x509 from '@peculiar/x509'
import type { TestAgent } from './agent.ts'
import { certificatesIn } from './certificates.ts'
import { localCall } from './local-call.ts'
import { settled } from './wait-for.ts'

const P256 = { name: 'ECDSA', namedCurve: 'P-256' }

/** What a TLS client shows. */
export interface PeerChain {
  readonly cert: string
  readonly key: string
}

/** What a certificate may say; by default what an agent itself would write for a workload. */
export interface OpenRequest {
  readonly uris: readonly string[]
  readonly notBeforeMs?: number
  readonly notAfterMs?: number
  readonly ca?: boolean
  readonly usage?: number
  readonly purposes?: readonly string[]
}

export const USAGE = x509.KeyUsageFlags
export const PURPOSE = x509.ExtendedKeyUsage

/** Whoever took over a host: holds the key of its CA, and signs what he likes with it. */
export class Intruder {
  readonly #key: KeyObject
  readonly #chain: readonly X509Certificate[]

  /** With the keys out of the state directory of `agent`. */
  constructor(agent: TestAgent) {
    this.#chain = certificatesIn(readFileSync(join(agent.stateDir, 'node.pem'), 'utf8'))
    this.#key = createPrivateKey(readFileSync(join(agent.stateDir, 'node.key')))
  }

  /** DER: node CA, authority, root. */
  get chainDer(): Uint8Array[] {
    return this.#chain.map(certificate => Uint8Array.from(certificate.raw))
  }

  /** A certificate signed by the CA of the host, with what is shown beside it. */
  async certificate(request: OpenRequest): Promise<PeerChain> {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const leaf = new X509Certificate(Buffer.from(await this.sign(request, createPublicKey(privateKey))))
    const [node, authority] = this.#chain
    const key = privateKey.export({ format: 'pem', type: 'pkcs8' }).toString()
    return { cert: [leaf, node, authority].join(''), key }
  }

  /** A certificate for `publicKey`, DER. */
  async sign(request: OpenRequest, publicKey: KeyObject, more: readonly x509.Extension[] = []): Promise<Uint8Array> {
    const [node] = this.#chain
    if (node === undefined) throw new Error('no chain')
    const {
      uris,
      ca = false,
      usage = USAGE.digitalSignature,
      purposes = [PURPOSE.serverAuth, PURPOSE.clientAuth]
    } = request
    const certificate = await x509.X509CertificateGenerator.create({
      serialNumber: '4f'.repeat(16),
      subject: 'O=warren',
      issuer: new x509.X509Certificate(node.raw).subjectName,
      notBefore: new Date(request.notBeforeMs ?? Date.now() - 60_000),
      notAfter: new Date(request.notAfterMs ?? Date.now() + 600_000),
      publicKey: publicKey.toCryptoKey(P256, true, ['verify']),
      signingKey: this.#key.toCryptoKey(P256, true, ['sign']),
      signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
      extensions: [
        new x509.BasicConstraintsExtension(ca, undefined, true),
        new x509.KeyUsagesExtension(usage, true),
        ...(purposes.length === 0 ? [] : [new x509.ExtendedKeyUsageExtension([...purposes])]),
        new x509.SubjectAlternativeNameExtension(uris.map(value => ({ type: 'url', value }))),
        ...more
      ]
    })
    return new Uint8Array(certificate.rawData)
  }
}

export interface Service {
  readonly address: string
  readonly registrationId: string
  readonly spiffeId: string
}

/** The services of a pattern that `agent` knows. */
export async function servicesOf(agent: TestAgent, pattern: string): Promise<readonly Service[]> {
  const { body } = await localCall(agent.socket, 'WorkloadService/ListServices', { pattern })
  return (body as { services?: Service[] }).services ?? []
}

/** How a TLS client reaches the certificate of `service` at the data port of `agent`. */
export async function dataPort(agent: TestAgent, service: Service): Promise<tls.ConnectionOptions> {
  return {
    host: '127.0.0.1',
    port: Number((await agent.status()).dataAddresses[0]?.split(':').at(-1)),
    servername: service.registrationId.slice(0, 32),
    ALPNProtocols: ['h2'],
    rejectUnauthorized: false
  }
}

/** What the data port answers to a request for `service` over `options`: an HTTP status, or nothing. */
export async function askFor(
  service: Service,
  method: 'OPTIONS' | 'CONNECT',
  options: tls.ConnectionOptions
): Promise<number | undefined> {
  const socket = tls.connect(options)
  const status = Promise.withResolvers<number | undefined>()
  const giveUp = (): void => status.resolve(undefined)
  socket.on('error', giveUp).on('close', giveUp)
  const session = http2.connect('https://warren.invalid', { createConnection: () => socket })
  session.on('error', giveUp).on('close', giveUp)
  const own = { ':authority': service.registrationId, 'warren-destination': service.address, 'warren-protocol': 'tcp' }
  const path = method === 'CONNECT' ? {} : { ':path': '*', ':scheme': 'https' }
  const request = session.request({ ':method': method, ...own, ...path }, { endStream: false })
  request.on('error', giveUp).on('close', giveUp)
  request.on('response', headers => status.resolve(headers[':status']))
  if (method === 'CONNECT') request.write('from a stranger\n')
  try {
    return await settled(status.promise, `an answer to ${method}`)
  } finally {
    socket.destroy()
  }
}
