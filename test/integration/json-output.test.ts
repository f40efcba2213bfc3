import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import type { Command } from 'commander'
import { buildProgram } from '../../src/cli/program.ts'
import { generatePeerKeyPair, peerKeyOf, rawPublicKey } from '../../src/identity/index.ts'
import { scopeOf, startPair } from '../harness/index.ts'

/** Commands that stay, or act on a stopped host: their lines of JSON are made of fields that they name one by one. */
const WITHOUT = new Set([
  ...[
    'up',
    'connect',
    'serve',
    'expose',
    'forward',
    'proxy',
    'dns',
    'oidc',
    'run',
    'restore',
    'console',
    'root export',
    'root import'
  ],
  ...['completion', '__complete']
])

const ADMIN_KEY = peerKeyOf(rawPublicKey(generatePeerKeyPair()))

function leaves(command: Command, path: readonly string[] = []): string[] {
  if (command.commands.length === 0) return [path.join(' ')]
  return command.commands.flatMap(one => leaves(one, [...path, one.name()]))
}

test('no command has fields of protobuf in its JSON', async t => {
  const scope = scopeOf(t)
  const directory = scope.directory()
  const config = join(directory, 'warren.yaml')
  writeFileSync(config, 'log-level: warn\n')
  const [a, b] = await startPair(scope, { args: ['--config', config] })
  const policy = join(directory, 'policy.yaml')
  writeFileSync(policy, 'rules:\n  - allow: dev.a.*.*\n    to: dev.b.*.*\ntests:\n  - dev.x.*.* -> dev.y.*.*: denied\n')
  const secret = join(directory, 'secret')
  writeFileSync(secret, 'correct horse battery')
  const site = ['dev.web.site.default', '--pid', String(process.pid)]
  const registered = JSON.parse(await a.cli('register', ...site, '--label', 'tier=front', '--json')) as {
    token: string
  }
  const token = JSON.parse(await a.cli('token', 'create', 'c', '--json')) as { id: string }
  const lines: ReadonlyArray<readonly [string, ...string[]]> = [
    ...[
      'status',
      'members',
      'services',
      'flows',
      'metrics',
      'events',
      'doctor',
      'inspect',
      'root status',
      'policy show'
    ].map(one => [one] as const),
    ...['authority list', 'token list', 'entry list'].map(one => [one] as const),
    ['register', 'dev.web.other.default', '--pid', String(process.pid)],
    ['deregister', registered.token],
    ['allow', 'dev.*.*.*', 'dev.web.*.*'],
    ['deny', 'dev.*.*.*', 'dev.shop.*.*'],
    ['policy remove', 'r1'],
    ['deny', 'dev.*.*.*', 'dev.*.*.*', '--dry-run'],
    ['policy export'],
    ['policy check', policy],
    ['policy diff', policy],
    ['policy apply', policy, '--dry-run'],
    ['policy test', policy],
    ['policy suggest'],
    ['policy unused'],
    ['policy receipts'],
    ['flows', '--mesh'],
    ['services', '--mesh'],
    ['audit show', '--mesh'],
    ['events', '--mesh'],
    ['top', '--count', '1', '--interval', '200ms'],
    ['deny', 'dev.*.*.*', 'dev.*.*.*', '--dry-run', '--mesh'],
    ['entry add', 'dev.web.*.*', '--uid', '1000'],
    ['entry list'],
    ['entry remove', 'e3'],
    ['entry strict', 'off'],
    ['explain', 'dev.web.site.default', 'dev.web.other.default'],
    ['who-can-reach', 'dev.web.*.*'],
    ['what-can', 'dev.web.*.*', 'reach'],
    ['svid fetch', 'dev.web.mine.default', '--out', join(directory, 'svid')],
    ['token create', 'd'],
    ['token show', token.id],
    ['admit'],
    ['authority invite'],
    ['authority trust-ca', join(directory, 'none.pem'), '--name-from', 'cn', '--scope', 'dev'],
    ['authority trust-oidc', 'https://issuer.example', '--audience', 'a'],
    ['authority trusts'],
    ['authority distrust', 'none'],
    ['token revoke', token.id],
    ['backup', join(directory, 'a.backup'), '--passphrase-file', secret],
    ['revoke', 'dev.shop.*.*'],
    ['policy show'],
    ['unrevoke', 'x6'],
    ['admin key'],
    ['admin list'],
    ['admin add', 'bob', '--role', 'admin', '--scope', 'dev', '--key', ADMIN_KEY],
    ['admin remove', 'bob'],
    ['policy restart', '--accept-lost-policy'],
    ['drain', '--timeout', '1s'],
    ['clock accept'],
    ['reload'],
    ['upgrade'],
    ['audit verify'],
    ['audit show'],
    ['config check', config],
    ['config show', '--config', config],
    ['config schema'],
    ['authority add', 'b'],
    ['authority list'],
    ['authority remove', 'b'],
    ['root rotate'],
    ['root status'],
    ['evict', 'b']
  ]
  const tried = new Set<string>()
  for (const [name, ...args] of lines) {
    const { stdout, stderr } = await a.attempt([...name.split(' '), ...args, '--json'])
    tried.add(name)
    assert.doesNotMatch(stdout + stderr, /\$typeName|\$unknown/, name)
    if (stdout !== '') assert.doesNotThrow(() => JSON.parse(stdout), name)
  }
  assert.deepEqual(
    leaves(buildProgram()).filter(name => !tried.has(name) && !WITHOUT.has(name)),
    []
  )
  assert.ok(b.pid > 0)
})
