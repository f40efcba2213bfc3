import type { MessageInitShape } from '@bufbuild/protobuf'
import { definedOnly } from '../core/index.ts'
import { apiPb, healthCheckOf } from '../wire/index.ts'
import { sharedClient } from './agent-client.ts'
import { Keeper } from './keeper.ts'
import type { RegisterOptions, Registration, TargetOption } from './registration.ts'

/**
 * Registers `address` (four components; the agent appends its machine) and keeps it registered until it is closed.
 *
 * When the agent restarts it registers again, for as long as that takes. Rejects with the agent's answer to the first
 * attempt: INVALID_ARGUMENT, PERMISSION_DENIED, ALREADY_EXISTS, AGENT_NOT_RUNNING…
 */
export async function register(address: string, options: RegisterOptions = {}): Promise<Registration> {
  return await holdAddress(address, options, true)
}

/** Same as `register`; if it does not hold the process, the program may end while it is registered. */
export async function holdAddress(
  address: string,
  options: RegisterOptions,
  holdsProcess: boolean
): Promise<Registration> {
  const { client = sharedClient(definedOnly({ runtimeDir: options.runtimeDir, env: options.env })) } = options
  const keeper = new Keeper(client, requestOf(address, options), options, holdsProcess)
  await keeper.start()
  return keeper
}

function requestOf(address: string, options: RegisterOptions): MessageInitShape<typeof apiPb.RegisterRequestSchema> {
  const {
    target,
    whitelist = [],
    labels = {},
    ports = [],
    weight,
    wait = 'all',
    ownerPid = 0,
    application = ''
  } = options
  const {
    multipath = false,
    dnsNames = [],
    forUser = false,
    healthCheck = true,
    maxConnects = 0,
    maxRate = 0
  } = options
  const request = {
    address,
    whitelist: [...whitelist],
    labels: { ...labels },
    ports: [...ports],
    ...(weight !== undefined && { weight }),
    multipath,
    dnsNames: [...dnsNames],
    wait: WAITS[wait],
    ownerPid,
    forUser,
    application,
    ...healthCheckOf(healthCheck),
    maxConnects,
    maxRate
  }
  const proxyProtocol = target !== undefined && 'proxyProtocol' in target && target.proxyProtocol === true
  const serverUser = (target !== undefined && 'serverUser' in target ? target.serverUser : undefined) ?? ''
  const gateway = target !== undefined && 'gateway' in target && target.gateway === true
  if (target === undefined) return request
  return { ...request, target: { kind: kindOf(target), proxyProtocol, serverUser, gateway } }
}

const WAITS = { all: apiPb.Wait.ALL, quorum: apiPb.Wait.QUORUM, local: apiPb.Wait.LOCAL } as const

function kindOf(target: TargetOption): NonNullable<MessageInitShape<typeof apiPb.TargetSchema>['kind']> {
  if ('listen' in target) {
    const { hello = false, protocol = 'tcp', answersProbes = false } = target.listen
    return {
      case: 'listen',
      value: { hello, answersProbes, protocol: protocol === 'udp' ? apiPb.Protocol.UDP : apiPb.Protocol.TCP }
    }
  }
  if ('tcp' in target) return { case: 'tcp', value: target.tcp }
  if ('udp' in target) return { case: 'udp', value: target.udp }
  return { case: 'unix', value: target.unix }
}
