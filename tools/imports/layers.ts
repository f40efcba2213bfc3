/** The imports that one folder of src/ may have, and whether it is pure. */
export interface Layer {
  /** The subject of the room, in a few words: for the picture of the rooms. */
  readonly knows: string
  /** Folders whose index.ts it may import. */
  readonly mayImport: readonly string[]
  /** Further folders of which it may import types, and nothing that runs: shapes that those folders own. */
  readonly typesOf?: readonly string[]
  /** Files (relative to src/) that may import a further folder, and then only with `import()` or as types. */
  readonly lazily?: Readonly<Record<string, readonly string[]>>
  /** No I/O, no timers, no clock, no chance: such code can be simulated and property-tested. */
  readonly pure?: boolean
  /** Exports of core that a pure folder must not touch, since they read a clock or set a timer. */
  readonly bannedFromCore?: readonly string[]
}

const NETWORK = ['connectTcp', 'resolveHost']
const TIMERS = ['systemClock', 'sleep', 'loop', 'within', 'detach', 'atEndOfTurn', ...NETWORK]
const FOUNDATION = ['identity', 'wire', 'core']
const VERIFIERS = ['registry', 'policy', ...FOUNDATION]
/** The folders that all rooms of the agent share. */
const SHARED = ['events', ...VERIFIERS]

/** Imports point down this list only; siblings meet through interfaces that the consumer declares. */
export const LAYERS: Readonly<Record<string, Layer>> = {
  cli: {
    knows: 'commands',
    mayImport: ['client', 'config', 'listeners', 'wire', 'core'],
    lazily: {
      'cli/commands/audit.ts': ['agent', 'audit'],
      'cli/commands/up.ts': ['agent', 'restart'],
      'cli/output/start-lines.ts': ['agent'],
      'cli/commands/backup.ts': ['agent'],
      'cli/commands/config.ts': ['agent'],
      'cli/commands/console.ts': ['console'],
      'cli/commands/doctor.ts': ['agent'],
      'cli/listeners/proxy/callers.ts': ['attest'],
      'cli/commands/dns.ts': ['attest'],
      'cli/commands/root.ts': ['agent'],
      'cli/commands/policy-file.ts': ['policy'],
      'cli/commands/attempts.ts': ['audit', 'identity'],
      'cli/commands/policy-replay.ts': ['policy'],
      'cli/commands/policy-suggest.ts': ['audit', 'policy'],
      'cli/commands/policy-test.ts': ['policy'],
      'cli/keys/key-source.ts': ['identity'],
      'cli/keys/statement.ts': ['identity', 'policy']
    }
  },
  console: { knows: 'pages for a browser of this host', mayImport: ['client', 'policy', 'identity', 'wire', 'core'] },
  client: { knows: 'the library for workloads', mayImport: ['wire', 'core'] },
  agent: {
    knows: 'configuration, assembly, start and stop',
    mayImport: [
      'declared',
      'metrics',
      'upkeep',
      'api',
      'audit',
      'traces',
      'ca',
      'cluster',
      'workloads',
      'proxy',
      'mesh',
      'state',
      'attest',
      'config',
      ...SHARED
    ],
    typesOf: ['restart']
  },
  declared: {
    knows: 'services and forwards of files, begun and ended',
    mayImport: ['workloads', 'proxy', 'config', 'events', ...FOUNDATION]
  },
  metrics: {
    knows: 'counters and gauges, and who scrapes them',
    mayImport: ['upkeep', 'api', 'events', 'registry', 'core'],
    typesOf: ['mesh', 'proxy', 'workloads', 'config']
  },
  api: {
    knows: 'servers on the unix sockets',
    mayImport: ['ca', 'cluster', 'workloads', 'proxy', 'attest', ...SHARED],
    typesOf: ['restart']
  },
  restart: { knows: 'one process of an agent that follows another', mayImport: ['core'] },
  ca: { knows: 'certificates, joins, authorities', mayImport: ['cluster', 'mesh', 'state', 'config', ...SHARED] },
  cluster: { knows: 'what hosts agree on; enforcement', mayImport: ['mesh', 'state', ...SHARED] },
  proxy: {
    knows: 'the data plane: sessions and flows',
    mayImport: ['listeners', 'udp', 'attest', ...SHARED],
    // A registration says where its connections go; who looks after it is the agent's to join.
    typesOf: ['workloads']
  },
  workloads: { knows: 'registrations, grants, health', mayImport: ['attest', ...SHARED] },
  mesh: { knows: 'libp2p, and nobody else does', mayImport: VERIFIERS },
  audit: {
    knows: 'the audit log: written, verified, read, pushed',
    mayImport: ['collectors', 'state', 'events', ...FOUNDATION],
    typesOf: ['config']
  },
  traces: { knows: 'spans of the openings of flows', mayImport: ['collectors', 'core'], typesOf: ['proxy', 'config'] },
  collectors: {
    knows: 'who outside takes records over HTTP',
    mayImport: ['state', 'wire', 'core'],
    typesOf: ['config']
  },
  upkeep: {
    knows: 'memory, descriptors, clock and log of the process',
    mayImport: ['state', 'core'],
    typesOf: ['config']
  },
  state: { knows: 'files, vault, database', mayImport: FOUNDATION, typesOf: ['registry'] },
  events: { knows: 'what happens; the bus', mayImport: ['identity', 'core'], pure: true, bannedFromCore: TIMERS },
  registry: { knows: 'the replicated set; pure', mayImport: FOUNDATION, pure: true, bannedFromCore: TIMERS },
  policy: {
    knows: 'rules, entries, evaluation; pure',
    mayImport: FOUNDATION,
    // Entries are matched with what the kernel says of a process.
    typesOf: ['attest'],
    pure: true,
    bannedFromCore: TIMERS
  },
  config: { knows: 'options of an agent, once each; files', mayImport: ['listeners', ...FOUNDATION] },
  listeners: { knows: 'local ports and paths for clients', mayImport: ['udp', 'wire', 'core'] },
  // The join exchange runs over a stream that it is given, so it may set deadlines; it reads no clock of its own.
  identity: {
    knows: 'addresses, certificates; pure',
    mayImport: ['wire', 'core'],
    pure: true,
    bannedFromCore: ['systemClock', ...NETWORK]
  },
  attest: { knows: 'who is behind a socket', mayImport: ['core'] },
  udp: { knows: 'many datagrams in one call', mayImport: ['core'] },
  wire: { knows: 'generated protobuf, framing', mayImport: ['core'] },
  core: { knows: 'errors, clock, limits, log', mayImport: [] }
}

/** The only folder that knows libp2p. */
export const LIBP2P_FOLDER = 'mesh'
export const LIBP2P = /^(libp2p|multiformats|@libp2p\/.+|@multiformats\/.+)(\/|$)/

/** The modules of Node that a pure folder may import. */
export const PURE_NODE_MODULES: ReadonlySet<string> = new Set([
  'node:buffer',
  'node:crypto',
  'node:stream',
  'node:util'
])
/** Packages that do I/O or read clocks. */
export const IMPURE_PACKAGES = /^(koffi|node-unix-socket|pino|@connectrpc\/connect-node)(\/|$)/
/** Globals that make a function's result depend on more than its arguments. */
export const IMPURE_GLOBALS: ReadonlySet<string> = new Set([
  'process',
  'performance',
  'fetch',
  'globalThis',
  'setTimeout',
  'setInterval',
  'setImmediate'
])
