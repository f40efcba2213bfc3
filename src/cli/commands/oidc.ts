import { chmodSync } from 'node:fs'
import type { Command } from 'commander'
import { ErrorCode, isLoopback, WarrenError } from '../../core/index.ts'
import { type Endpoint, parseEndpoint } from '../../listeners/index.ts'
import { AwaitedAgent, noWaitOption } from '../await-agent.ts'
import { contextOf } from '../context.ts'
import { collect } from '../options/index.ts'
import { clauseWithHint, print, printJsonLine, RateLimitedLines } from '../output/index.ts'
import { endingSignals, inWords } from '../signals.ts'

interface OidcOptions {
  readonly listen: string
  readonly tlsCert?: string
  readonly tlsKey?: string
  readonly machine?: string[]
  readonly wait: boolean
}

/** The files of a certificate are looked at this often, in milliseconds. */
const CERTIFICATE_MS = 2_000

export function addOidc(program: Command): void {
  program
    .command('oidc')
    .description('serve OIDC discovery: the public keys of JWT-SVIDs, for services that take tokens of OIDC')
    .option(
      '--listen <host:port|unix:path>',
      'where to serve; without TLS a loopback address or path',
      '127.0.0.1:8480'
    )
    .option('--tls-cert <file>', 'certificate for HTTPS and its chain (PEM); read again when it changes')
    .option('--tls-key <file>', 'its private key (PEM)')
    .option('--machine <machine>', 'show the keys of this host, and of no others; may be repeated', collect)
    .addOption(noWaitOption())
    .action(async (options: OidcOptions, command: Command) => {
      const endpoint = parseEndpoint('--listen', options.listen)
      requireTls(endpoint, options)
      const context = contextOf(command)
      const { json, say } = context
      const { CertificateFiles, FreshDocuments, OidcServer, requireIssuer } = await import('../oidc/index.ts')
      const { tlsCert, tlsKey } = options
      const files = tlsCert !== undefined && tlsKey !== undefined ? new CertificateFiles(tlsCert, tlsKey) : undefined
      const ending = endingSignals(inWords(say))
      const agent = new AwaitedAgent(context, { wait: options.wait, signal: ending.signal })
      const { issuer } = requireIssuer(
        await agent.call(one => one.workload.getTokenKeys({}, { signal: ending.signal }))
      )
      const failures = new RateLimitedLines(say)
      const onFailure = (err: unknown): void => failures.line(clauseWithHint(err), performance.now())
      const documents = new FreshDocuments({
        ask: signal => agent.client.workload.getTokenKeys({}, { signal }),
        machines: new Set(options.machine),
        nowMs: () => performance.now(),
        onFailure
      })
      const server = new OidcServer({ documents: () => documents.get(), certificate: files?.read() })
      const bound = await server.listen(endpoint)
      // The keys are for everybody, and the server in front is of another user.
      if (endpoint.kind === 'unix') chmodSync(endpoint.path, 0o666)
      const watching = setInterval(() => {
        try {
          const changed = files?.changed()
          if (changed === undefined) return
          server.replace(changed)
          say('the certificate has changed')
        } catch (err) {
          onFailure(err)
        }
      }, CERTIFICATE_MS)
      if (json) printJsonLine({ listen: bound, issuer })
      else print(bound)
      say(`${bound} serves ${issuer}/.well-known/openid-configuration`)
      if (files === undefined) say(`it speaks HTTP: a server in front has to end the TLS of ${issuer}`)
      await ending.asked
      clearInterval(watching)
      server.close()
      await agent.client.close()
    })
}

/** Throws INVALID_OPTION where keys would come over HTTP to another host: who changes them on the way can sign for everybody. */
function requireTls(endpoint: Endpoint, { tlsCert, tlsKey }: OidcOptions): void {
  if ((tlsCert === undefined) !== (tlsKey === undefined)) {
    throw new WarrenError(ErrorCode.InvalidOption, '--tls-cert and --tls-key go together', {
      hint: 'Give both, or neither where a server in front ends TLS.'
    })
  }
  if (tlsCert !== undefined || endpoint.kind === 'unix' || isLoopback(endpoint.host)) return
  throw new WarrenError(ErrorCode.InvalidOption, 'other hosts get these keys by HTTPS alone', {
    hint: 'Give --tls-cert and --tls-key, or listen at 127.0.0.1 behind a server that ends TLS.'
  })
}
