import type { MessageInitShape } from '@bufbuild/protobuf'
import type { Command } from 'commander'
import {
  ErrorCode,
  formatHostPort,
  parseDuration,
  parseHostPort,
  requireDnsNames,
  WarrenError
} from '../../core/index.ts'
import { type apiPb, healthCheckOf } from '../../wire/index.ts'
import { contextOf } from '../context.ts'
import { healthCheckOption, noHealthCheckOption } from '../options/health-check.ts'
import {
  collect,
  dnsNameOption,
  multipathOption,
  parseLabels,
  parsePorts,
  parseWait,
  portOption,
  replicationText,
  waitOption,
  weightOption
} from '../options/index.ts'
import { serverUserAlone } from '../options/server-user.ts'
import { addUsageLimits, type UsageLimitOptions, usageLimitFields } from '../options/usage-limits.ts'
import { fields, printJson } from '../output/index.ts'

interface RegisterOptions extends UsageLimitOptions {
  readonly tcp?: string
  readonly udp?: string
  readonly unix?: string
  readonly listen?: true
  readonly allow?: string[]
  readonly label?: string[]
  readonly port?: string[]
  readonly weight?: number
  readonly multipath?: true
  readonly dnsName?: string[]
  readonly ttl?: string
  readonly pid?: string
  readonly forUser?: true
  readonly application?: string
  readonly wait: string
  readonly serverUser?: string
  readonly proxyProtocol?: true
  readonly healthCheck?: string | false
}

const MIN_TTL_MS = 1_000
const MAX_TTL_MS = 86_400_000

export function addRegister(program: Command): void {
  const register = program
    .command('register')
    .description('register an address through the API, and print the answer as JSON')
    .argument('<address>', 'SCOPE.GROUP.NAME.RESOURCE; this machine is appended')
    .option('--tcp <host:port>', 'deliver connections to a TCP server of this host')
    .option('--udp <host:port>', 'deliver datagrams to a UDP server of this host')
    .option('--unix <path>', 'deliver connections to a unix socket')
    .option('--listen', 'deliver connections to a socket that you bind at the path in the answer')
    .option('--server-user <user|any>', 'with --tcp or --udp: user that the server may run as, as for expose')
    .option('--allow <pattern>', 'let these sources of the same scope connect without a rule; may be repeated', collect)
    .option('--label <key=value>', 'may be repeated', collect)
    .addOption(portOption())
    .addOption(weightOption())
    .addOption(multipathOption())
    .addOption(dnsNameOption())
    .option('--ttl <time>', 'end the registration after this time without a heartbeat (default: 1m)')
    .option('--pid <pid>', 'end the registration with this process (default: the one that started this command)')
    .option('--for-user', 'with --pid: let each program of your user that registered nothing have the certificate, too')
    .option('--application <name>', 'a name for people')
    .option('--proxy-protocol', 'begin each connection with a PROXY protocol v2 header; not with --udp')
    .addOption(healthCheckOption())
    .addOption(noHealthCheckOption())
    .addOption(waitOption())
  addUsageLimits(register, 'to it').action(async (address: string, options: RegisterOptions, command: Command) => {
    const request = requestOf(address, options)
    const { agent, say } = contextOf(command)
    const response = await agent.workload.register(request)
    try {
      requireDnsNames(options.dnsName ?? [], response.dnsNames)
    } catch (err) {
      await agent.workload.deregister({ token: response.token })
      throw err
    }
    const { replication } = response
    printJson({ ...fields(response), replication: replication === undefined ? undefined : fields(replication) })
    say(replicationText('known to', replication))
    if (response.problem !== '') say(`refused for now: ${response.problem}`)
  })
}

function requestOf(address: string, options: RegisterOptions): MessageInitShape<typeof apiPb.RegisterRequestSchema> {
  const kind = targetKind(options)
  const { serverUser = '' } = options
  if (serverUser !== '' && kind?.case !== 'tcp' && kind?.case !== 'udp') throw serverUserAlone()
  return {
    address,
    ...(kind === undefined ? {} : { target: { kind, proxyProtocol: options.proxyProtocol ?? false, serverUser } }),
    whitelist: options.allow ?? [],
    labels: parseLabels(options.label ?? []),
    ports: parsePorts(options.port ?? []),
    ...(options.weight !== undefined && { weight: options.weight }),
    multipath: options.multipath === true,
    dnsNames: options.dnsName ?? [],
    ttlMs: options.ttl === undefined ? 0 : parseDuration('--ttl', options.ttl, MIN_TTL_MS, MAX_TTL_MS),
    wait: parseWait(options.wait),
    ownerPid: options.pid === undefined ? process.ppid : parsePid(options.pid),
    // Without a process, this command registers for programs that it does not know.
    forUser: options.pid === undefined || options.forUser === true,
    application: options.application ?? '',
    ...healthCheckOf(options.healthCheck ?? 'auto'),
    ...usageLimitFields(options)
  }
}

type TargetKind = NonNullable<MessageInitShape<typeof apiPb.TargetSchema>['kind']>

function targetKind({ tcp, udp, unix, listen }: RegisterOptions): TargetKind | undefined {
  if ([tcp, udp, unix, listen].filter(target => target !== undefined).length > 1) {
    throw new WarrenError(ErrorCode.InvalidOption, '--tcp, --udp, --unix and --listen exclude each other', {
      hint: 'Register once for each target.'
    })
  }
  if (tcp !== undefined) return { case: 'tcp', value: formatHostPort(parseHostPort(tcp, { option: '--tcp' })) }
  if (udp !== undefined) return { case: 'udp', value: formatHostPort(parseHostPort(udp, { option: '--udp' })) }
  if (unix !== undefined) return { case: 'unix', value: unix }
  return listen === true ? { case: 'listen', value: {} } : undefined
}

function parsePid(text: string): number {
  const pid = Number(text)
  if (!/^\d{1,10}$/.test(text) || pid < 1 || pid > 2 ** 31 - 1) {
    throw new WarrenError(ErrorCode.InvalidArgument, `--pid "${text.slice(0, 80)}" is not a process id`)
  }
  return pid
}
