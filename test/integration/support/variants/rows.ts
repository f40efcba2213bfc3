import { encodeJoinToken, type JoinToken, parseJoinToken } from '../../../../src/identity/index.ts'
import { TestAgent, waitFor, warren } from '../../../harness/index.ts'
import {
  AT,
  DATA_PORT,
  DOCS,
  MESH_PORT,
  type Mesh,
  outputOf,
  outputWhen,
  SHOP,
  SITE,
  shifted,
  startExpose,
  startServer
} from './mesh.ts'

/** One way in which a connection does not come about, and the one command that explains it. */
export interface Row {
  readonly name: string
  /** Brings it about, runs the command, and returns what it printed. */
  readonly run: (mesh: Mesh) => Promise<string>
  readonly cause: RegExp
  readonly next: RegExp
  /** Takes longer than a run in CI has for it. */
  readonly isSlow?: boolean
}

const SITE_ASKED = ['explain', SHOP, SITE] as const
const UID = 61_400

/** Where all hosts live. In order: a row leaves the mesh as it found it. */
const LIVING: readonly Row[] = [
  {
    name: 'a typo in the application',
    run: ({ agents: { a } }) => outputOf(a, 'explain', SHOP, 'dev.web.sita.default'),
    cause: /^NO +destination +nothing registered matches dev\.web\.sita\.default$/m,
    next: /did you mean dev\.web\.site\.default\?/
  },
  {
    name: 'a typo in the machine',
    run: ({ agents: { a } }) => outputOf(a, 'explain', SHOP, `${SITE}.bb`),
    cause: /no host is named bb/,
    next: /did you mean dev\.web\.site\.default\.b\?/
  },
  {
    name: 'a deny rule',
    run: async ({ agents: { a } }) => {
      const id = (await a.cli('deny', 'dev.shop.*.*', SITE)).trim()
      const output = await outputOf(a, ...SITE_ASKED)
      await a.cli('policy', 'remove', id)
      return output
    },
    cause: /^NO +policy +denied \(RULE\): rule r\d+: deny dev\.shop/m,
    next: /warren policy remove r\d+/
  },
  {
    name: 'a missing entry',
    run: ({ agents: { a } }) => outputOf(a, ...SITE_ASKED, '--uid', String(UID)),
    cause: /^NO +identity +no entry grants dev\.shop\.cart\.default\.a to uid 61400$/m,
    next: /warren entry add --machine a --uid 61400 dev\.shop\.cart\.default/
  },
  {
    name: 'a firewall before the data port',
    run: async ({ agents: { a }, hosts: { b } }) => {
      b.block(DATA_PORT)
      const output = await outputOf(a, ...SITE_ASKED)
      b.heal()
      return output
    },
    // Another path is used, and the better one is named.
    cause:
      /^ok +path +(mesh-port|reverse|mesh): direct \S+:7461 does not lead to it \(nothing comes back: .* firewall drops it\)/m,
    next: /open TCP and UDP 7461 of b/
  },
  {
    name: 'a server that is stopped',
    run: async ({ agents: { a }, server }) => {
      server.signal('SIGSTOP')
      const output = await outputOf(a, ...SITE_ASKED)
      server.signal('SIGCONT')
      return output
    },
    cause: /^NO +server .*does not accept: \d+ connections? waits? for it; it is stopped, or stands still/m,
    next: /on b: ps .*kill -CONT/
  },
  {
    name: 'a server that went down a second ago',
    run: async ({ agents: { a }, server }) => {
      await server.kill()
      return await outputOf(a, ...SITE_ASKED)
    },
    cause: /^NO +server +nobody has 127\.0\.0\.1:8080\/tcp$/m,
    next: /on b: start the server/
  },
  {
    name: 'a server that is down for some time',
    run: async mesh => {
      const failing = /not healthy: its own socket does not answer \(ECONNREFUSED\), since \S+ \(\d+ s\)/
      const output = await outputWhen(mesh.agents.a, failing, ...SITE_ASKED)
      mesh.server = await startServer(mesh.scope, mesh.hosts.b)
      return output
    },
    cause: /^NO +destination .*not healthy: its own socket does not answer \(ECONNREFUSED\), since \S+ \(\d+ s\)$/m,
    next: /start the server/
  },
  {
    name: 'an expose that is dead',
    run: async mesh => {
      await mesh.expose.kill()
      const output = await outputWhen(mesh.agents.a, /was registered until/, ...SITE_ASKED)
      mesh.expose = await startExpose(mesh.agents.b, SITE)
      await mesh.agents.a.knows(SITE)
      return output
    },
    cause: /^NO +destination +dev\.web\.site\.default\.b was registered until \S+: connection closed$/m,
    next: /on b: start it again \(warren expose/
  }
]

/** Hosts are cut off, each longer than a lease. */
const CUT_OFF: readonly Row[] = [
  {
    name: 'the host of the admin is cut off',
    run: async ({ agents: { b }, hosts: { a, b: other, c } }) => {
      for (const host of [other, c]) a.cut(host)
      const asked = ['explain', 'prod.shop.cart.default', DOCS]
      const output = await outputWhen(b, /a cannot be reached/, ...asked)
      a.heal()
      return output
    },
    cause: /^NO +policy +denied \(SCOPE\): scopes differ/m,
    next: /warren allow prod\.shop\.cart\.default dev\.web\.docs\.default; a cannot be reached: what is set there has not come here/
  },
  {
    name: 'a firewall before the mesh port',
    run: ({ agents: { a }, hosts }) => blocked(a, hosts, [MESH_PORT]),
    cause:
      /^NO +host +b, which had it, is silent since \S+, last at 10\.77\.0\.2:7461, but its agent answers \(direct: /m,
    next: /open TCP 7460 between the hosts/,
    isSlow: true
  },
  {
    name: 'a firewall before both ports',
    run: ({ agents: { a }, hosts }) => blocked(a, hosts, [MESH_PORT, DATA_PORT]),
    cause:
      /^NO +host +b, which had it, is silent since .*nothing comes back: the host is down, or a firewall drops it/m,
    next: /open TCP and UDP 7461 and TCP 7460 to it, in both directions/,
    isSlow: true
  }
]

async function blocked(a: TestAgent, hosts: Mesh['hosts'], ports: readonly number[]): Promise<string> {
  const all = [hosts.a, hosts.b, hosts.c]
  for (const host of all) host.block(...ports)
  const output = await outputWhen(a, /^NO +host/m, ...SITE_ASKED)
  for (const host of all) host.heal()
  await a.sees(2)
  await a.knows(SITE)
  return output
}

/** The agent of b dies, and that of c is evicted: in this order, at the end. */
const ENDING: readonly Row[] = [
  {
    name: 'a remote agent that died some seconds ago',
    run: async ({ agents: { a, b } }) => {
      await b.kill()
      return await outputWhen(a, /its host is suspect/, ...SITE_ASKED)
    },
    cause: /^NO +destination .*its host is suspect: it does not answer, since \S+ \(\d+ s\)$/m,
    next: /on b: start its agent/
  },
  {
    name: 'a remote agent that has been dead for longer than its lease',
    run: async ({ agents: { a, b } }) => {
      if (!b.program.hasEnded) await b.kill()
      return await outputWhen(a, /^NO +host/m, ...SITE_ASKED)
    },
    cause:
      /^NO +host +b, which had it, is silent since \S+, last at 10\.77\.0\.2:7461: direct \S+ does not lead to it \(nobody listens there/m,
    next: /on b: start its agent/,
    isSlow: true
  },
  {
    name: 'a host that was evicted, seen by others',
    run: async ({ agents: { a } }) => {
      await a.cli('evict', 'c')
      return await outputWhen(a, /was evicted/, 'explain', SHOP, DOCS)
    },
    cause: /^NO +host +c, which had it, was evicted/m,
    next: /a new token for it, and an empty state directory/
  },
  {
    name: 'a host that was evicted, seen by itself',
    run: ({ agents: { c } }) => outputWhen(c, /this host is evicted/, 'explain', SHOP, SITE),
    cause: /^NO +host +this host is evicted: c was evicted at/m,
    next: /let it join anew, with a new token and an empty state directory/
  }
]

/** How `warren up` ends on a host of the mesh, with another state directory. */
async function joined({ scope, hosts }: Mesh, token: string, build?: string): Promise<string> {
  const places = ['--state-dir', scope.directory(), '--runtime-dir', scope.directory()]
  const ports = ['--listen', '127.0.0.1:0', '--data-listen', '127.0.0.1:0', '--no-mdns']
  const args = ['up', '--join', token, ...places, ...ports]
  const { code, stderr } = await warren(scope, args, { host: hosts.a }, undefined, build).outcome()
  return `${stderr}exit code ${code}\n`
}

async function made({ agents: { a } }: Mesh, machine: string, ...more: string[]): Promise<string> {
  return (await a.cli('token', 'create', machine, ...more)).trim()
}

function altered(token: string, change: Partial<JoinToken>): string {
  return encodeJoinToken({ ...parseJoinToken(token, Date.now()), ...change })
}

const NEW_TOKEN = /^ {2}Make a new one with `warren token create`/m

/** Each kind of token that admits nobody. */
const TOKENS: readonly Row[] = [
  {
    name: 'a token that was used',
    run: mesh => joined(mesh, mesh.tokenOfB),
    cause: /TOKEN_REFUSED: the token was already used/,
    next: NEW_TOKEN
  },
  {
    name: 'a token that was copied in part',
    run: async mesh => await joined(mesh, (await made(mesh, 'd')).slice(0, -3)),
    cause: /TOKEN_REFUSED: the join token is damaged/,
    next: /Copy the whole line that `warren token create` printed/
  },
  {
    name: 'a token that was revoked',
    run: async mesh => {
      const token = await made(mesh, 'e')
      await mesh.agents.a.cli('token', 'revoke', parseJoinToken(token, Date.now()).id)
      return await joined(mesh, token)
    },
    cause: /TOKEN_REFUSED: the token was revoked at/,
    next: NEW_TOKEN,
    isSlow: true
  },
  {
    name: 'a token that has expired',
    run: async mesh => {
      const token = await made(mesh, 'f', '--ttl', '1s')
      // Before that it would admit the host, which then stays.
      await waitFor(async () => /\bf +expired/.test(await mesh.agents.a.cli('token', 'list')), 'the token to expire')
      return await joined(mesh, token)
    },
    cause: /TOKEN_REFUSED: the join token expired at/,
    next: /Make a new one with `warren token create`, and check the clocks of both hosts/,
    isSlow: true
  },
  {
    name: 'a token with another secret',
    run: async mesh => await joined(mesh, altered(await made(mesh, 'g'), { secret: new Uint8Array(32) })),
    cause: /TOKEN_REFUSED: the token was altered/,
    next: NEW_TOKEN,
    isSlow: true
  },
  {
    name: 'a token of another machine',
    run: async mesh => await joined(mesh, altered(await made(mesh, 'h'), { machine: 'i' })),
    cause: /TOKEN_REFUSED: the token is for machine h, not i/,
    next: /^ {2}Give this host such a name with --name/m,
    isSlow: true
  },
  {
    name: 'a token that the authority does not know',
    run: async mesh => await joined(mesh, altered(await made(mesh, 'j'), { id: '0'.repeat(32) })),
    cause: /TOKEN_REFUSED: this authority did not make the token/,
    next: NEW_TOKEN,
    isSlow: true
  }
]

const OTHER = 'other.example'

/** Hosts of two trust domains that meet. */
const DOMAINS: readonly Row[] = [
  {
    name: 'a token of another trust domain than the host that it leads to',
    run: async mesh => await joined(mesh, altered(await made(mesh, 'k'), { trustDomain: OTHER })),
    cause: /CERTIFICATE_REFUSED: .*the authority does not belong to trust domain other\.example/,
    next: /^ {2}Another mesh answers there: make a new token with `warren token create`/m
  },
  {
    name: 'an agent of another trust domain at the data port of a host',
    run: async ({ scope, hosts: { b }, agents: { a } }) => {
      const other = new TestAgent(scope, { name: 'b', args: [], host: b })
      await other.start(['--init', OTHER, '--no-mdns'])
      const output = await outputWhen(a, /another trust domain/, ...SITE_ASKED)
      await other.kill()
      return output
    },
    cause: /an agent of another trust domain answers there, other\.example by its own account/,
    next: /on b: ss -ltnp shows who has the port/
  }
]

/** Hosts whose clocks differ by five minutes. */
function clocks(byMs: number): readonly Row[] {
  const side = byMs > 0 ? 'ahead of' : 'behind'
  const cause = new RegExp(`^NO +clock +the clock of [bc] is about (29\\d|30\\d) s ${side} that of this host`, 'm')
  const next = /compare date -u on both, and set the one that is wrong by NTP/
  return [
    {
      name: `a clock that is 5 min ${side} that of the other of two hosts`,
      run: async ({ scope }) => {
        const a = await new TestAgent(scope, { name: 'a', args: ['--init', 'example.org'] }).start()
        const b = new TestAgent(scope, { name: 'b', args: ['--join', await a.token('b')] })
        await b.start()
        await b.stop()
        await b.start([], shifted(scope, byMs))
        await startExpose(b, SITE)
        return await outputWhen(a, /^NO +clock/m, ...SITE_ASKED)
      },
      cause,
      next,
      isSlow: true
    },
    {
      name: `a clock that is 5 min ${side} those of two other hosts`,
      run: async ({ scope, agents: { a, c } }) => {
        await c.stop()
        await c.start(AT, shifted(scope, byMs))
        await startExpose(c, DOCS)
        const output = await outputWhen(a, /^NO +clock/m, 'explain', SHOP, DOCS)
        await c.stop()
        await c.start(AT)
        await startExpose(c, DOCS)
        await a.knows(DOCS)
        return output
      },
      cause,
      next,
      isSlow: true
    }
  ]
}

const JOIN_BEHIND: Row = {
  name: 'a clock that is behind that of the authority, at the join',
  run: async mesh => {
    const file = shifted(mesh.scope, -3_600_000)
    return await joined(mesh, await made(mesh, 'l'), file)
  },
  cause: /CERTIFICATE_REFUSED: .* is valid from/,
  next: /The clock of this host is behind that of a: compare date -u on both/
}

export const ROWS: readonly Row[] = [
  ...LIVING,
  ...TOKENS,
  ...DOMAINS.slice(0, 1),
  JOIN_BEHIND,
  ...CUT_OFF,
  ...clocks(300_000),
  ...clocks(-300_000),
  ...ENDING.slice(0, 2),
  ...DOMAINS.slice(1),
  ...ENDING.slice(2)
]
