import assert from 'node:assert/strict'
import { join } from 'node:path'
import test from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { type Program, waitFor } from '../harness/index.ts'
import { PORTS, postgresBin, servePostgres } from './support/servers.ts'
import { SSH_PORT, serveSshd } from './support/sshd.ts'
import { IS_FULL, isAskedFor, Stage } from './support/stage.ts'

const WATCH = join(import.meta.dirname, 'support', 'watch-bytes.mjs')
const TALK = join(import.meta.dirname, 'support', 'keep-talking.mjs')
const PSQL = ['psql', '-h', '127.0.0.1', '-p', String(PORTS.postgres), '-U', 'postgres', '-qAt']
/** Of each of the two bulk transfers, in rows of 1,024 bytes with the end of their line. */
const ROWS = IS_FULL ? 512_000 : 64_000
const BYTES = ROWS * 1_024
const [SHORT_MS, LONG_MS] = IS_FULL ? [10_000, 25_000] : [3_000, 6_000]
const BULK_TIMEOUT_MS = 180_000
const MOVED = '10.77.0.51'

/** The same bytes each time, which do not compress. */
const NOISE = `head -c ${BYTES} /dev/zero | openssl enc -aes-128-ctr -nosalt -K ${'1'.repeat(32)} -iv ${'0'.repeat(32)}`
const TABLE = `copy (select lpad(md5(i::text), 1023, md5((-i)::text)) from generate_series(1, ${ROWS}) i) to stdout`

interface Bulk {
  readonly name: string
  readonly program: Program
  readonly hash: string
}

test('psql and ssh, in bulk and line by line, pass whatever happens to the way with nothing but a pause', async t => {
  const bin = postgresBin()
  if (!isAskedFor(t, 'psql', 'ssh', 'sshd', 'ssh-keygen', 'openssl', 'nft') || bin === undefined) return
  const { stage, others } = await Stage.openBesideTwo(t, ['--resume-window', '30s'])
  const { server, client, serverAgent, clientAgent } = stage
  await servePostgres(stage, bin)
  const ssh = ['ssh', ...(await serveSshd(stage)), '-p', String(SSH_PORT), 'root@127.0.0.1']
  await stage.forward('dev.db.postgres.default', { tcp: PORTS.postgres })
  await stage.forward('dev.ops.ssh.default', { tcp: SSH_PORT })

  const shell = (line: string, argv: readonly string[] = []): string[] => [
    '/bin/bash',
    '-o',
    'pipefail',
    '-c',
    line,
    'bash',
    ...argv
  ]
  const hashOf = async (command: string): Promise<string> =>
    (await stage.onServer(shell(`${command} | sha256sum`))).stdout.slice(0, 64)
  const noise = await hashOf(NOISE)
  const table = await hashOf(`${PSQL.join(' ')} -c "${TABLE}"`)
  const watch = `${process.execPath} ${WATCH} ${BYTES}`
  // One comes from the server, the other goes to it.
  const inBulk = (): Bulk[] => [
    {
      name: 'psql',
      hash: table,
      program: stage.run(client, shell(`"$@" | ${watch}`, [...PSQL, '-c', TABLE]))
    },
    { name: 'ssh', hash: noise, program: stage.run(client, shell(`${NOISE} | "$@"`, [...ssh, watch])) }
  ]
  const talking = [
    stage.run(client, [process.execPath, TALK, "select lpad('N', 64, 'x');", ...PSQL]),
    stage.run(client, [process.execPath, TALK, `${'x'.repeat(24)}N`, ...ssh, 'cat'])
  ]
  const answers = (program: Program): number => program.stdout.match(/answered/g)?.length ?? 0
  const goOn = async (): Promise<void> => {
    for (const program of talking) {
      const before = answers(program)
      await waitFor(
        () => program.hasEnded || answers(program) > before + 1,
        `answers after ${program.stdout.slice(-200)}`
      )
      assert.ok(!program.hasEnded, program.stdout.slice(-200) + program.stderr)
    }
  }
  const during = async (what: string, disturb: () => void | Promise<void>): Promise<void> => {
    const bulk = inBulk()
    await Promise.all(bulk.map(({ program }) => program.says(/part 1\n/)))
    for (const { name, program } of bulk) assert.ok(!program.hasEnded, `${name} was over before ${what}`)
    await disturb()
    for (const { name, program, hash } of bulk) {
      const { code, stdout, stderr } = await program.outcome(BULK_TIMEOUT_MS)
      assert.equal(code, 0, `${name}, ${what}: ${stdout}${stderr}`)
      assert.match(stdout, new RegExp(`whole ${BYTES} ${hash}`), `${name}, ${what}`)
    }
    await goOn()
    t.diagnostic(`${what}: whole`)
  }
  const unplug = async (ms: number): Promise<void> => {
    client.silence('eth0')
    await pause(ms)
    client.heal()
  }

  await goOn()
  await during(`link down for ${SHORT_MS} ms`, () => unplug(SHORT_MS))
  await during(`link down for ${LONG_MS} ms`, () => unplug(LONG_MS))
  await during('the client host has another address', () => {
    client.run('ip', 'addr', 'del', `${client.ip}/24`, 'dev', 'eth0')
    client.run('ip', 'addr', 'add', `${MOVED}/24`, 'dev', 'eth0')
  })
  await during(`the agent of the server stopped for ${SHORT_MS} ms`, async () => {
    process.kill(serverAgent.pid, 'SIGSTOP')
    await pause(SHORT_MS)
    process.kill(serverAgent.pid, 'SIGCONT')
  })
  await during('data port blocked for good', () => server.block(7461))
  server.heal()
  for (const [host, address] of [
    [server, MOVED],
    [client, server.ip]
  ] as const)
    host.run(
      'nft',
      `add table inet apart; add chain inet apart in { type filter hook input priority 0; }; add rule inet apart in ip saddr ${address} drop`
    )
  await during('nothing but relays', () => {})
  await during('the relay killed', async () => {
    const [, relay] = /relay via (\w+)/.exec(await clientAgent.cli('flows')) ?? []
    const agent = others.find(({ name }) => name === relay)
    assert.ok(agent, await clientAgent.cli('flows'))
    await agent.kill()
  })

  for (const program of talking) {
    program.stdin.write('end\n')
    const [said] = await program.says(/(intact|broken).*/)
    t.diagnostic(said)
    assert.match(said, /intact/, program.stderr)
  }
  assert.doesNotMatch(`${serverAgent.program.stderr}${clientAgent.program.stderr}`, /not found again in/)
})
