import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { configFiles } from '../../src/config/index.ts'
import { needsRoot } from '../harness/index.ts'

const { filesNamed, filesOf, formatFault, jsonSchema, loadFiles, optionFaults } = await configFiles()

const SERVICE = { address: 'prod.shop.web.default', user: 'www-data', tcp: '127.0.0.1:8080' }
const FORWARD = {
  destination: 'prod.shop.db.default',
  listen: '127.0.0.1:5432',
  as: 'prod.shop.web.default',
  user: 'www-data'
}
const OWN_UID = process.getuid?.() ?? 0

function directoryOf(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'warren-config-'))
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

/** The faults of a configuration file with this text, with the name of the file alone. */
function faultsOf(t: TestContext, text: string, ownUid = OWN_UID): string[] {
  const main = join(directoryOf(t), 'warren.yaml')
  writeFileSync(main, text)
  // As if root owned it, wherever the test runs.
  const { faults } = loadFiles(filesOf(main), ownUid)
  return [...faults, ...(faults.length === 0 ? optionFaults(main) : [])].map(fault =>
    formatFault({ ...fault, file: fault.file.split('/').at(-1) ?? '' })
  )
}

const service = (changes: object): string => JSON.stringify({ services: [{ ...SERVICE, ...changes }] })
const forward = (changes: object): string => JSON.stringify({ forwards: [{ ...FORWARD, ...changes }] })

/** A configuration with one fault; its line. */
const BAD: ReadonlyArray<readonly [text: string, line: RegExp]> = [
  ['lsiten: ":7000"', /^warren\.yaml:1:1: unknown key "lsiten"\. Did you mean "listen"\?$/],
  ['name: a\nbandwidth: 3', /^warren\.yaml:2:1: unknown key "bandwidth"\. The keys are: name, .*forwards\.$/],
  ['a: [', /^warren\.yaml:1:5: not YAML: .* Correct the YAML/],
  ['name: a\n\tlisten: ":1"', /^warren\.yaml:2:1: not YAML: .*[Tt]ab/],
  ['name: a\nname: b', /^warren\.yaml:2:1: not YAML: Map keys must be unique\./],
  ['name: a\n---\nname: b', /^warren\.yaml:2:\d+: more than one document\. Remove the line/],
  ['[a]', /^warren\.yaml:1:1: expected object/],
  ['mdns: "yes"', /^warren\.yaml:1:7: mdns: expected boolean.* Write true or false/],
  ['name: 7', /^warren\.yaml:1:7: name: expected string.* in quotes: "7"\.$/],
  ['log-level: inf', /^warren\.yaml:1:12: log-level: "inf" is not one of .*Did you mean "info"\?$/],
  [`log-level: ${'i'.repeat(5_000)}`, /^warren\.yaml:1:12: log-level: "i{80}" is not one of .{1,200}$/],
  ['listen: 7000', /^warren\.yaml:1:9: listen: expected string/],
  ['listen: nonsense', /^warren\.yaml:1:9: listen: listen "nonsense" is not HOST:PORT\. Write it as/],
  ['svid-lifetime: soon', /^warren\.yaml:1:16: svid-lifetime: .*not a length of time\. Write it as/],
  ['oversize: dorp', /^warren\.yaml:1:11: oversize: .*drop or capsule/],
  ['services: 3', /^warren\.yaml:1:11: services: expected array.* Begin each item with a dash/],
  ['services:\n  address: a.b.c.d', /^warren\.yaml:2:3: services: expected array.* Begin each item with a dash/],
  [service({ adress: 'x' }), /^warren\.yaml:1:\d+: unknown key "adress" in services\.0\. Did you mean "address"\?$/],
  ['services:\n  - user: a\n    tcp: :1', /^warren\.yaml:2:5: services\.0 has no address\. Add it: SCOPE\.GROUP/],
  [service({ address: 'shop.web' }), /^warren\.yaml:1:\d+: services\.0\.address: address "shop\.web" has 2 components/],
  [service({ user: undefined }), /^warren\.yaml:1:\d+: it has no user\. Add "user:"/],
  [service({ user: -1 }), /services\.0\.user: .*At least 0\.$/],
  [service({ tcp: undefined }), /^warren\.yaml:1:\d+: it has no target\. Say where the server listens/],
  [service({ udp: ':53' }), /^warren\.yaml:1:\d+: tcp and udp exclude each other\. Write one item for each/],
  [service({ tcp: '127.0.0.1:0' }), /services\.0\.tcp: "127\.0\.0\.1:0" has port 0\. Give the port/],
  [service({ tcp: undefined, unix: 'a.sock' }), /services\.0\.unix: "a\.sock" is not an absolute path\. Write it as/],
  [service({ tcp: undefined, unix: '/a', 'server-user': 'x' }), /server-user goes with tcp and udp only\. Remove it/],
  [
    service({ 'health-check': 'conect' }),
    /"conect" is not one of auto, off, connect, http, http:\/PATH, grpc, grpc:SERVICE\. Did you mean "connect"\?$/
  ],
  [service({ 'max-connects': 0 }), /services\.0\.max-connects: .*At least 1\.$/],
  [service({ 'max-rate': 10 }), /services\.0\.max-rate: .*At least 1000\.$/],
  [
    service({ 'dns-names': ['10.0.0.1'] }),
    /services\.0\.dns-names\.0: "10\.0\.0\.1" is no DNS name\. Write it as db\./
  ],
  [service({ 'dns-names': 'a.example' }), /services\.0\.dns-names: expected array.* Write it as a list/],
  [service({ labels: { version: 2 } }), /services\.0\.labels\.version: expected string.*in quotes: "2"\.$/],
  [service({ allow: ['prod.*'] }), /services\.0\.allow\.0: /],
  [forward({ listen: 'localhost' }), /forwards\.0\.listen: listen "localhost" is not HOST:PORT/],
  [forward({ listen: '127.0.0.1:0' }), /forwards\.0\.listen: .*port 0\. Choose a port/],
  [forward({ listen: 'unix:x.sock' }), /forwards\.0\.listen: "x\.sock" is not an absolute path/],
  [forward({ as: undefined }), /^warren\.yaml:1:\d+: forwards\.0 has no as\. Add it: address of the source/],
  [forward({ destination: 'a..b.c' }), /forwards\.0\.destination: /],
  [forward({ strategy: 'ballanced' }), /"ballanced" is not one of .*Did you mean "balanced"\?$/],
  [forward({ preset: 'dns' }), /^warren\.yaml:1:\d+: preset needs udp: true\. Remove it\.$/],
  [forward({ udp: true, keepalive: '5s' }), /keepalive does not go with udp\. Remove it\.$/],
  [forward({ udp: true, 'idle-timeout': '1h' }), /forwards\.0\.idle-timeout: it "1h" is out of range\. Give/]
]

test('each of these configurations gives one line that names the place and the cure', t => {
  if (!needsRoot(t)) return
  assert.ok(BAD.length >= 30)
  for (const [text, line] of BAD) {
    const lines = faultsOf(t, text)
    assert.equal(lines.length, 1, `${text}\n${lines.join('\n')}`)
    assert.match(lines[0] ?? '', line, text)
    assert.doesNotMatch(lines[0] ?? '', /\n/)
  }
})

test('every fault of every file is shown, and not the first one alone', t => {
  const directory = directoryOf(t)
  mkdirSync(join(directory, 'conf.d'), { mode: 0o755 })
  const text = JSON.stringify({ forwards: [FORWARD] })
  writeFileSync(join(directory, 'warren.yaml'), `lsiten: a\nlogg-level: b`)
  writeFileSync(join(directory, 'conf.d', '1.yaml'), text)
  writeFileSync(join(directory, 'conf.d', '2.yaml'), text)
  writeFileSync(join(directory, 'conf.d', '3.yaml'), 'name: a')
  writeFileSync(join(directory, 'conf.d', '4.yml'), text)
  writeFileSync(join(directory, 'conf.d', '5.yaml.dpkg-old'), '{{')
  if (OWN_UID !== 0) return
  const lines = loadFiles(filesNamed(directory)).faults.map(formatFault)
  assert.deepEqual(
    lines.map(line => line.slice(directory.length + 1).replace(/\. [A-Z].*/, '')),
    [
      'warren.yaml:1:1: unknown key "lsiten"',
      'warren.yaml:2:1: unknown key "logg-level"',
      'conf.d/4.yml:1:1: this file is not read',
      'conf.d/3.yaml:1:1: unknown key "name"',
      `conf.d/2.yaml:1:14: the listener 127.0.0.1:5432 is also at ${directory}/conf.d/1.yaml:1`
    ]
  )
})

test('only root and the user of the agent can declare anything, in files that nobody else can write', t => {
  if (!needsRoot(t)) return
  const directory = directoryOf(t)
  chmodSync(directory, 0o755)
  const main = join(directory, 'warren.yaml')
  const parts = join(directory, 'conf.d')
  const part = join(parts, 'a.yaml')
  mkdirSync(parts, { mode: 0o755 })
  writeFileSync(main, 'name: a\n')
  writeFileSync(part, JSON.stringify({ services: [SERVICE] }))
  const agent = 1234
  const check = (ownUid = 0): string[] => loadFiles(filesOf(main), ownUid).faults.map(formatFault)
  assert.deepEqual(check(), [])
  assert.deepEqual(check(agent), [], 'a file of root may name every user, for whatever agent')

  chownSync(part, agent, agent)
  assert.match(check()[0] ?? '', /a\.yaml:1:1: uid 1234 owns it, who is neither root nor .*chown root .*a\.yaml$/)
  assert.match(
    check(agent)[0] ?? '',
    /this file is of uid 1234 and cannot name user www-data\. Only a file that root owns/
  )
  writeFileSync(part, JSON.stringify({ services: [{ ...SERVICE, user: agent }] }))
  assert.deepEqual(check(agent), [], 'the user of the agent alone')
  writeFileSync(part, JSON.stringify({ services: [{ ...SERVICE, user: undefined }] }))
  assert.equal(loadFiles(filesOf(main), agent).declared.services[0]?.user, String(agent))

  chownSync(part, 0, 0)
  writeFileSync(part, JSON.stringify({ services: [SERVICE] }))
  chmodSync(part, 0o664)
  assert.match(check()[0] ?? '', /its group can write it, so it may not declare anything\. .*chmod go-w .*a\.yaml$/)
  chmodSync(part, 0o646)
  assert.match(check()[0] ?? '', /everybody can write it/)
  chmodSync(part, 0o644)
  chmodSync(parts, 0o777)
  assert.match(check()[0] ?? '', /conf\.d:1:1: everybody can write it/)
  chmodSync(parts, 0o755)
  chownSync(parts, 4321, 4321)
  assert.match(check()[0] ?? '', /conf\.d:1:1: uid 4321 owns it/)
  chownSync(parts, 0, 0)

  chmodSync(main, 0o666)
  assert.deepEqual(check(), [], 'options alone, as ever')
  writeFileSync(main, JSON.stringify({ services: [{ ...SERVICE, tcp: '127.0.0.1:8081' }] }))
  assert.match(check()[0] ?? '', /warren\.yaml:1:1: everybody can write it/)
})

test('the schema for editors has every key, and the example of the page is right', t => {
  const { properties } = jsonSchema() as {
    properties: Record<string, { anyOf?: { items?: { properties: object } }[] }>
  }
  for (const key of ['listen', 'limits', 'log-level', 'services', 'forwards']) assert.ok(key in properties, key)
  const keysOf = (kind: string) => Object.keys(properties[kind]?.anyOf?.[0]?.items?.properties ?? {})
  assert.ok(keysOf('services').includes('health-check'))
  assert.ok(keysOf('forwards').includes('idle-timeout'))

  const page = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'configuration.md'), 'utf8')
  const examples = [...page.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, text]) => text ?? '')
  assert.ok(examples.length > 0)
  if (!needsRoot(t)) return
  for (const text of examples) assert.deepEqual(faultsOf(t, text), [], text)
})

test('no fault quotes a join token that stands in the file, wherever it was put by mistake', t => {
  const secret = 'SECRET_secret-0123456789'
  const token = `warren1.${secret}${'x'.repeat(200)}`
  const mistakes = [
    `join: *${token}`,
    `join: &${token} [*${token}x]`,
    `log-level: ${token}`,
    `${token}: 1`,
    `limits: {${token}: 1}`,
    `join: "${token}`,
    `join: [${token}]`,
    `name: ${token}`,
    `svid-lifetime: ${token}`,
    `listen: ${token}`,
    `advertise: [${token}]`,
    service({ [token]: 1 }),
    service({ tcp: token }),
    forward({ destination: token }),
    forward({ preset: token })
  ]
  for (const text of mistakes) {
    const faults = faultsOf(t, text)
    assert.doesNotMatch(faults.join('\n'), new RegExp(secret.slice(0, 6)), text)
  }
})

test('a configuration that is a fifo or a device is refused at once, and holds nobody up', t => {
  const directory = directoryOf(t)
  mkdirSync(join(directory, 'conf.d'), { mode: 0o755 })
  const main = join(directory, 'warren.yaml')
  symlinkSync('/dev/zero', main)
  execFileSync('mkfifo', ['-m', '600', join(directory, 'conf.d', '1.yaml')])
  const lines = loadFiles(filesOf(main)).faults.map(formatFault)
  assert.match(lines[0] ?? '', /warren\.yaml: it is a device, and no file\. Write the configuration to a file/)
  assert.match(lines[1] ?? '', /1\.yaml: it is a fifo, and no file/)
  assert.equal(lines.length, 2)
})
