import { resolve } from 'node:path'
import type { Command } from 'commander'
import { type Registration, register, type TargetOption } from '../../client/index.ts'
import { ErrorCode, formatHostPort, parseHostPort, WarrenError } from '../../core/index.ts'
import { parseEndpoint } from '../../listeners/index.ts'
import type { HealthCheckName } from '../../wire/index.ts'
import { AwaitedAgent, noWaitOption } from '../await-agent.ts'
import { contextOf } from '../context.ts'
import { exposeUnixDatagrams } from '../listeners/datagram/index.ts'
import { healthCheckOption, noHealthCheckOption } from '../options/health-check.ts'
import {
  collect,
  dnsNameOption,
  multipathOption,
  parseLabels,
  parsePorts,
  portOption,
  weightOption
} from '../options/index.ts'
import { serverUserAlone } from '../options/server-user.ts'
import { addUsageLimits, type UsageLimitOptions, usageLimitFields } from '../options/usage-limits.ts'
import { clause, cliLogger, print, printJsonLine, RateLimitedLines } from '../output/index.ts'
import { endingSignals, inWords } from '../signals.ts'

interface ExposeOptions extends UsageLimitOptions {
  readonly tcp?: string[]
  readonly udp?: string[]
  readonly unix?: string[]
  readonly allow?: string[]
  readonly label?: string[]
  readonly port?: string[]
  readonly weight?: number
  readonly multipath?: true
  readonly dnsName?: string[]
  readonly serverUser?: string
  readonly proxyProtocol?: true
  readonly gateway?: true
  readonly healthCheck?: HealthCheckName | false
  readonly wait: boolean
}

export function addExpose(program: Command): void {
  const expose = program
    .command('expose')
    .description('give an unmodified server an address, until this command ends')
    .argument('<address>', 'SCOPE.GROUP.NAME.RESOURCE; this machine is appended')
    .option(
      '--tcp <host:port>',
      'address and port of the server on this host; may be repeated: then the servers share the load',
      collect
    )
    .option(
      '--udp <host:port|unix:path>',
      'the same for a UDP server, or a SOCK_DGRAM unix socket; each client has its own port or path there',
      collect
    )
    .option('--unix <path>', 'the same for a unix socket', collect)
    .option(
      '--server-user <user|any>',
      'whose the server at a port may be, besides root: name or uid; any: do not ask (default: yours; for root: that found first)'
    )
    .option('--gateway', 'with --tcp: it is a server of another host; an entry must name it: entry add --gateway')
    .option('--allow <pattern>', 'let these sources of the same scope connect without a rule; may be repeated', collect)
    .option('--label <key=value>', 'may be repeated', collect)
    .addOption(portOption())
    .addOption(weightOption())
    .addOption(multipathOption())
    .addOption(dnsNameOption())
    .option('--proxy-protocol', 'begin each connection with a PROXY protocol v2 header that names the source')
    .addOption(healthCheckOption())
    .addOption(noHealthCheckOption())
    .addOption(noWaitOption())
  addUsageLimits(expose, 'to it').action(async (address: string, options: ExposeOptions, command: Command) => {
    const targets = targetsOf(options)
    const context = contextOf(command)
    const { json, say } = context
    const ending = endingSignals(inWords(say))
    const agent = new AwaitedAgent(context, { wait: options.wait, signal: ending.signal })
    const common = {
      whitelist: options.allow ?? [],
      labels: parseLabels(options.label ?? []),
      ports: parsePorts(options.port ?? []),
      weight: options.weight,
      multipath: options.multipath,
      dnsNames: options.dnsName,
      healthCheck: options.healthCheck ?? 'auto',
      ...usageLimitFields(options),
      application: 'warren expose',
      // The server is a program of its own, which this command cannot name.
      forUser: true,
      signal: ending.signal,
      log: cliLogger(say),
      onProblem: (registration: Registration) => sayProblem(registration, say)
    }
    const failures = new RateLimitedLines(say)
    const onFailure = (err: unknown): void => failures.line(clause(err), performance.now())
    const registrations: Registration[] = []
    const announce = (registration: Registration, name: string): void => {
      registrations.push(registration)
      if (json) printJsonLine(view(registration, name))
      else print(registration.address)
      say(`${registration.address} leads to ${name}`)
      if (registration.problem !== '') sayProblem(registration, say)
    }
    try {
      for (const target of targets) {
        const registration = await agent.call(client => register(address, { ...common, client, target }))
        announce(registration, nameOf(target))
      }
      for (const path of unixDatagramPaths(options)) {
        const { registration } = await agent.call(client =>
          exposeUnixDatagrams(address, path, { ...common, client }, { onFailure, onDrops: say })
        )
        if (registration !== undefined) announce(registration, `udp unix:${path}`)
      }
      const end = await Promise.race(registrations.map(registration => registration.closed))
      if (!ending.signal.aborted && end.error !== undefined) throw end.error
    } finally {
      await Promise.all(registrations.map(registration => registration.close()))
    }
  })
}

function sayProblem({ address, problem }: Registration, say: (text: string) => void): void {
  if (problem === '') say(`${address}: no longer refused`)
  else
    say(
      `${address}: refused for now: ${problem} (unless that is the server, somebody took its port; else --server-user)`
    )
}

function targetsOf(options: ExposeOptions): TargetOption[] {
  const { tcp = [], udp = [], unix = [], proxyProtocol, serverUser, gateway } = options
  if (gateway === true && (tcp.length === 0 || udp.length + unix.length > 0 || serverUser !== undefined)) {
    throw new WarrenError(ErrorCode.InvalidOption, '--gateway goes with --tcp alone', {
      hint: 'Name the server of the other host, as in --tcp db.example.net:5432 --gateway.'
    })
  }
  if (tcp.length + udp.length + unix.length === 0) {
    throw new WarrenError(ErrorCode.InvalidOption, 'nothing to expose', {
      hint: 'Say where the server listens: --tcp 127.0.0.1:8080, --udp 127.0.0.1:53 or --unix PATH.'
    })
  }
  const proxy = proxyProtocol === true
  if (proxy && udp.length > 0) {
    throw new WarrenError(ErrorCode.InvalidOption, '--proxy-protocol does not go with --udp', {
      hint: 'Expose the UDP server with a command of its own.'
    })
  }
  const ports = [
    ...tcp.map(text => ({
      tcp: formatHostPort(parseHostPort(text, { option: '--tcp' })),
      proxyProtocol: proxy,
      serverUser,
      ...(gateway === true && { gateway })
    })),
    ...udp.flatMap(text => {
      const endpoint = parseEndpoint('--udp', text)
      return endpoint.kind === 'unix' ? [] : [{ udp: formatHostPort(endpoint), serverUser }]
    })
  ]
  if (serverUser !== undefined && ports.length === 0) throw serverUserAlone()
  return [...ports, ...unix.map(path => ({ unix: path, proxyProtocol: proxy }))]
}

function unixDatagramPaths({ udp = [] }: ExposeOptions): string[] {
  return udp.flatMap(text => {
    const endpoint = parseEndpoint('--udp', text)
    return endpoint.kind === 'unix' ? [resolve(endpoint.path)] : []
  })
}

function nameOf(target: TargetOption): string {
  if ('tcp' in target) return target.tcp
  if ('udp' in target) return `udp ${target.udp}`
  return 'unix' in target ? target.unix : 'its own socket'
}

function view({ address, spiffeId, registrationId }: Registration, target: string): object {
  return { address, spiffeId, registrationId, target }
}
