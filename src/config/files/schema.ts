import { z } from 'zod'
import { dnsName, ErrorCode, MAX_WEIGHT, parseDuration, parseHostPort, WarrenError } from '../../core/index.ts'
import { parseLocalName, parsePattern } from '../../identity/index.ts'
import { parseEndpoint } from '../../listeners/index.ts'
import { HEALTH_CHECKS, isHealthCheck } from '../../wire/index.ts'
import { LOG_LEVELS, UP_OPTIONS, type UpOptionName } from '../options.ts'

/** Services and forwards of all files together, each. */
export const MAX_DECLARED = 1_024
/** As for a registration by a program. */
const MAX_ALLOWED = 64
const MAX_LABELS = 32
const MAX_LABEL_LENGTH = 255
const MAX_PORTS = 16
const MAX_DNS_NAMES = 16
const MAX_PORT = 65_535
const MAX_CONNECTS = 1_000_000
// As of the options of `warren expose`.
const MIN_RATE = 1_000
const MAX_RATE = 4_000_000_000
/** As for `warren forward`. */
const IDLE_MS = { min: 100, max: 120_000 } as const
const KEEPALIVE_MS = { min: 1_000, max: 9 * 3_600_000 } as const

const plainText = z.string().min(1).optional()
const list = z.array(z.string()).optional()

/** A text that `parse` accepts; its error is the fault. */
function parsed(description: string, parse: (text: string) => unknown) {
  return z
    .string()
    .superRefine((text, context) => {
      try {
        parse(text)
      } catch (err) {
        const { reason, hint } = WarrenError.from(err)
        context.addIssue({ code: 'custom', message: reason, params: { hint } })
      }
    })
    .meta({ description })
}

function target(text: string): void {
  const { port } = parseHostPort(text)
  if (port > 0) return
  throw new WarrenError(ErrorCode.InvalidArgument, `"${text.slice(0, 80)}" has port 0`, {
    hint: 'Give the port at which the server listens.'
  })
}

function socketPath(text: string): void {
  if (text.startsWith('/') && !text.includes('\0')) return
  throw new WarrenError(ErrorCode.InvalidArgument, `"${text.slice(0, 80)}" is not an absolute path`, {
    hint: 'Write it as /run/app.sock.'
  })
}

function listener(text: string): void {
  const endpoint = endpointOf(text)
  if (endpoint.kind === 'unix') socketPath(endpoint.path)
  if (endpoint.kind === 'unix' || endpoint.port > 0) return
  throw new WarrenError(ErrorCode.InvalidArgument, `listen "${text.slice(0, 80)}" has port 0`, {
    hint: 'Choose a port: clients have to know it.'
  })
}

function endpointOf(text: string): ReturnType<typeof parseEndpoint> {
  try {
    return parseEndpoint('listen', text)
  } catch (cause) {
    const { code, reason } = WarrenError.from(cause)
    throw new WarrenError(code, reason, {
      cause,
      hint: 'Write it as 127.0.0.1:8080, [::1]:8080 or unix:/run/app.sock.'
    })
  }
}

const user = (description: string) =>
  z
    .union([z.string().min(1), z.int().min(0).max(0xffff_fffe)], { error: 'expected the name or the uid of a user' })
    .meta({ description })
const address = (description: string) => parsed(description, text => parseLocalName(text, 'machine'))
const pattern = (description: string) => parsed(description, parsePattern)
const time = (description: string, { min, max }: { readonly min: number; readonly max: number }) =>
  parsed(description, text => (/^0s?$/.test(text) && min > 100 ? 0 : parseDuration('it', text, min, max)))

/** A service, as of `warren expose`. */
export const serviceSchema = z.strictObject({
  address: address('SCOPE.GROUP.NAME.RESOURCE; this machine is appended'),
  user: user('the user whose entries count, and who serves a unix socket; required in a file of root').optional(),
  tcp: parsed('address and port of the server on this host', target).optional(),
  udp: parsed('the same for a UDP server', target).optional(),
  unix: parsed('path of the unix socket of the server', socketPath).optional(),
  gateway: z
    .boolean()
    .optional()
    .meta({ description: 'with tcp: it is a server of another host; an entry must name it' }),
  'server-user': user('whose the server at a port may be, besides root; any: do not ask').optional(),
  allow: z
    .array(pattern('sources of the same scope that may connect without a rule'))
    .max(MAX_ALLOWED)
    .optional()
    .meta({ description: 'sources of the same scope that may connect without a rule' }),
  labels: z
    .record(z.string().max(MAX_LABEL_LENGTH), z.string().max(MAX_LABEL_LENGTH))
    .refine(labels => Object.keys(labels).length <= MAX_LABELS, `more than ${MAX_LABELS} labels`)
    .optional()
    .meta({ description: 'labels for people, as in version: "2"' }),
  ports: z
    .array(z.int().min(1).max(MAX_PORT))
    .max(MAX_PORTS)
    .refine(ports => new Set(ports).size === ports.length, 'a port is declared twice')
    .optional()
    .meta({ description: 'ports at which clients expect it, the usual one first: warren dns listens there' }),
  weight: z.int().min(0).max(MAX_WEIGHT).optional().meta({
    description: 'share of new connections against other instances; 0: only if no other is left (default: 100)'
  }),
  multipath: z.boolean().optional().meta({
    description: 'send each datagram on two paths to the other host, if it has two addresses; with udp'
  }),
  'dns-names': z
    .array(parsed('DNS name for its certificates, as in db.example.net; an entry must name it', dnsName))
    .max(MAX_DNS_NAMES)
    .optional()
    .meta({ description: 'DNS names for its certificates; an entry must name each' }),
  'proxy-protocol': z
    .boolean()
    .optional()
    .meta({ description: 'begin each connection with a PROXY protocol v2 header' }),
  'health-check': z
    .string()
    .superRefine((input, { issues }) => {
      if (!isHealthCheck(input)) issues.push({ code: 'invalid_value', values: [...HEALTH_CHECKS], input })
    })
    .optional()
    .meta({ description: 'how the agent checks the server (default: auto)', examples: HEALTH_CHECKS }),
  'max-connects': z
    .int()
    .min(1)
    .max(MAX_CONNECTS)
    .optional()
    .meta({ description: 'connections that may be opened in a second' }),
  'max-rate': z
    .int()
    .min(MIN_RATE)
    .max(MAX_RATE)
    .optional()
    .meta({ description: 'bytes that its connections may carry in a second, both directions together' })
})

/** A local listener that leads to a workload, as of `warren forward`. */
export const forwardSchema = z.strictObject({
  destination: pattern('address or pattern'),
  listen: parsed('HOST:PORT or unix:PATH for local clients', listener),
  as: address('address of the source: SCOPE.GROUP.NAME.RESOURCE'),
  user: user('the user whose entries count, and who may use a unix socket; required in a file of root').optional(),
  udp: z.boolean().optional().meta({ description: 'datagrams, with one flow for each local sender' }),
  strategy: z.enum(['balanced', 'spread', 'first', 'sticky', 'exact']).optional(),
  keepalive: time(
    'time until a silent TCP client is asked whether it is still there (default: 60s)',
    KEEPALIVE_MS
  ).optional(),
  'idle-timeout': time(
    'with udp: time without a datagram after which a sender is forgotten (default: 2m)',
    IDLE_MS
  ).optional(),
  preset: z.enum(['dns']).optional()
})

/** What every file of the configuration may declare. */
const declared = {
  services: z.array(serviceSchema).max(MAX_DECLARED).nullish(),
  forwards: z.array(forwardSchema).max(MAX_DECLARED).nullish()
}

/** The keys of options that need more than their text. */
const own = {
  'runtime-dir': plainText,
  init: z.string().optional(),
  join: z.string().optional(),
  mdns: z.boolean().optional(),
  'drain-timeout': z.string().optional(),
  limits: z.record(z.string(), z.int()).optional(),
  'log-level': z.enum(LOG_LEVELS).optional()
}

const plain = Object.fromEntries(
  Object.entries(UP_OPTIONS).map(([name, option]) => [
    name,
    ('readAll' in option ? list : plainText).meta({ description: option.help })
  ])
)

/** The configuration file: the long options of `up`, without the dashes, and what the agent runs. */
export const fileSchema = z.strictObject({ ...plain, ...own, ...declared })
/** A file of `conf.d`. */
export const partSchema = z.strictObject(declared)

export type ServiceConfig = z.infer<typeof serviceSchema>
export type ForwardConfig = z.infer<typeof forwardSchema>
export type DeclaredConfig = z.infer<typeof partSchema>

/** The options of the agent in its file. */
export type FileConfig = z.infer<z.ZodObject<typeof own>> & {
  readonly [name in UpOptionName]?: string | readonly string[]
}

/** The keys of options in the file. */
export const OPTION_KEYS: readonly string[] = [...Object.keys(plain), ...Object.keys(own)]

/** A JSON Schema of the configuration file, for editors. */
export function jsonSchema(): object {
  return { title: 'warren.yaml', ...z.toJSONSchema(fileSchema, { unrepresentable: 'any' }) }
}
