import { execFileSync } from 'node:child_process'
import { createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { Server as TlsServer } from 'node:tls'
import type { AuditLog } from '../../src/audit/index.ts'
import { AuditPush, type AuditPushOptions } from '../../src/audit/push/index.ts'
import { readOptions } from '../../src/config/index.ts'
import { silentLogger, silentMetrics, systemClock } from '../../src/core/index.ts'
import type { Scope } from '../harness/index.ts'
import { PEER } from './support.ts'

/** The part of the database in which positions are saved. */
export class Settings {
  readonly #values = new Map<string, Uint8Array>()
  setting(name: string): Uint8Array | undefined {
    return this.#values.get(name)
  }
  setSetting(name: string, value: Uint8Array): void {
    this.#values.set(name, value)
  }
  get saved(): string[] {
    return [...this.#values.values()].map(value => Buffer.from(value).toString())
  }
}

export interface PushInput extends Partial<AuditPushOptions> {
  readonly scope: Scope
  readonly path: string
  readonly audit: AuditLog
  readonly to: readonly string[]
}

/** Pushes a log as `--audit-push` does, until the end of the test. */
export function pushLog({ scope, path, audit, to, ...options }: PushInput): AuditPush {
  const { auditPush = [] } = readOptions(name => (name === 'audit-push' ? to : undefined))
  const push = new AuditPush({
    targets: auditPush,
    path,
    audit,
    host: { machine: 'a', trustDomain: 'example.org', peer: PEER, version: '1.0.0' },
    store: new Settings(),
    clock: systemClock,
    log: silentLogger,
    metrics: silentMetrics,
    ...options
  })
  push.start()
  scope.defer(() => push.close())
  return push
}

/** A server on a port of this machine, or at a path, that keeps all bytes that it reads. */
export class Collector {
  readonly server: Server
  readonly sockets = new Set<Socket>()
  #bytes: Buffer = Buffer.alloc(0)

  constructor(server: Server = createServer()) {
    this.server = server
  }

  static async listen(scope: Scope, place: number | string = 0, server?: Server): Promise<Collector> {
    const collector = new Collector(server)
    const event = server instanceof TlsServer ? 'secureConnection' : 'connection'
    collector.server.on(event, (socket: Socket) => collector.#take(socket))
    await new Promise<void>((resolve, reject) => {
      collector.server.once('error', reject)
      if (typeof place === 'string') collector.server.listen(place, resolve)
      else collector.server.listen(place, '127.0.0.1', resolve)
    })
    scope.defer(() => collector.stop())
    return collector
  }

  get port(): number {
    const address = this.server.address()
    return typeof address === 'object' && address !== null ? address.port : 0
  }

  get text(): string {
    return this.#bytes.toString()
  }

  /** Messages with their lengths in front. */
  get messages(): string[] {
    const found: string[] = []
    let rest = this.#bytes
    for (;;) {
      const space = rest.indexOf(0x20)
      const length = Number(rest.subarray(0, space).toString())
      if (space < 1 || rest.length < space + 1 + length) return found
      found.push(rest.subarray(space + 1, space + 1 + length).toString())
      rest = rest.subarray(space + 1 + length)
    }
  }

  /** The numbers of the lines in these messages. */
  get seqs(): number[] {
    return this.messages.map(seqIn)
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy()
    await new Promise<void>(resolve => this.server.close(() => resolve()))
  }

  #take(socket: Socket): void {
    this.sockets.add(socket)
    socket.on('close', () => this.sockets.delete(socket))
    socket.on('error', () => {})
    socket.on('data', (chunk: Buffer) => {
      this.#bytes = Buffer.concat([this.#bytes, chunk])
    })
  }
}

/** The number of the line in a message. */
export function seqIn(message: string): number {
  return Number(/\{"seq":(\d+),/.exec(message)?.[1])
}

/** All numbers from 1 to `last`. */
export function upTo(last: number): number[] {
  return Array.from({ length: last }, (_, index) => index + 1)
}

export interface Pki {
  readonly ca: string
  readonly cert: string
  readonly key: string
}

/** A self-signed certificate of 127.0.0.1 in a new directory. */
export function certificateIn(scope: Scope): Pki {
  const directory = scope.directory()
  const [cert, key] = [join(directory, 'cert.pem'), join(directory, 'key.pem')]
  const name = ['-subj', '/CN=collector', '-addext', 'subjectAltName=IP:127.0.0.1']
  const made = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '1']
  execFileSync('openssl', [...made, ...name, '-keyout', key, '-out', cert], { stdio: 'ignore' })
  return { ca: cert, cert, key }
}
