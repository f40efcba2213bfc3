import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import test from 'node:test'
import { postgresBin, servePostgres } from './support/servers.ts'
import { IS_FULL, isAskedFor, Stage } from './support/stage.ts'

const PORT = 5432
const WEB_PORT = 8080
/** Rows of about a kilobyte of random text that compresses badly. */
const ROWS = IS_FULL ? 100_000 : 10_000

test('PostgreSQL: psql, pg_dump, parallel pgbench and a cancelled query over two hosts', async t => {
  const bin = postgresBin()
  if (!isAskedFor(t, 'psql', 'pg_dump') || bin === undefined) return
  const stage = await Stage.open(t)
  await servePostgres(stage, bin)
  await stage.forward('dev.db.postgres.default', { tcp: PORT })

  const remote = ['-h', '127.0.0.1', '-p', String(PORT), '-U', 'postgres']
  const psql = async (sql: string): Promise<string> =>
    (await stage.onClient(['psql', ...remote, '-v', 'ON_ERROR_STOP=1', '-qAtc', sql, 'postgres'])).stdout.trim()
  assert.equal(await psql('select 6 * 7'), '42')
  await psql(`create table goods as select i, (select string_agg(md5(random()::text || i || j), '')
    from generate_series(1, 31) j) as words from generate_series(1, ${ROWS}) i`)

  const out = stage.scope.directory()
  const dump = async (name: string, run: (argv: string[]) => Promise<unknown>): Promise<string> => {
    await run(['pg_dump', ...remote, '-t', 'goods', '-f', join(out, name), 'postgres'])
    // Newer versions write a random word on two lines.
    const text = readFileSync(join(out, name), 'utf8').replaceAll(/^\\(un)?restrict .*\n/gm, '')
    t.diagnostic(`${name}: ${(text.length / 1e6).toFixed(0)} MB`)
    return createHash('sha256').update(text).digest('hex')
  }
  const startedMs = performance.now()
  const brokered = await dump('brokered', argv => stage.onClient(argv))
  t.diagnostic(`pg_dump through warren: ${Math.round(performance.now() - startedMs)} ms`)
  const directMs = performance.now()
  assert.equal(await dump('local', argv => stage.onServer(argv)), brokered)
  t.diagnostic(`pg_dump on the server's host: ${Math.round(performance.now() - directMs)} ms`)

  // And back in, by COPY.
  await psql('drop table goods')
  await stage.onClient(['psql', ...remote, '-q', '-f', join(out, 'brokered'), 'postgres'])
  assert.equal(await psql('select count(*) from goods'), String(ROWS))

  // The request to cancel is a connection of its own, with the key of the first.
  const asleep = stage.run(stage.client, ['psql', ...remote, '-c', 'select pg_sleep(60)', 'postgres'])
  await stage.onClient([
    'psql',
    ...remote,
    '-qAtc',
    `do $$ begin for i in 1..300 loop if exists (select from pg_stat_activity where query = 'select pg_sleep(60)' and state = 'active')
      then return; end if; perform pg_sleep(0.1); perform pg_stat_clear_snapshot(); end loop; raise 'not there'; end $$`,
    'postgres'
  ])
  asleep.signal('SIGINT')
  assert.match((await asleep.outcome()).stderr, /canceling statement due to user request/)

  const pgbench = (await stage.onClient([join(bin, 'pgbench'), ...remote, '-i', '-q', 'postgres'])).stderr
  assert.match(pgbench, /done/)
  for (const mode of [[], ['-C']]) {
    const flags = ['-n', '-S', '-c', '8', '-T', IS_FULL ? '10' : '2', ...mode]
    const run = [join(bin, 'pgbench'), ...remote, ...flags, 'postgres']
    for (const [where, { stdout }] of [
      ['through warren', await stage.onClient(run)],
      ["on the server's host", await stage.onServer(run)]
    ] as const) {
      assert.match(stdout, /number of failed transactions: 0 /)
      t.diagnostic(`pgbench ${flags.join(' ')} ${where}: ${/tps = [0-9]+/.exec(stdout)?.[0]}`)
    }
  }
})

test('psql, curl and a program of Python find services by name under warren run with no other set-up, as root and as another user', async t => {
  const bin = postgresBin()
  if (!isAskedFor(t, 'psql', 'curl', 'python3') || bin === undefined) return
  const [user, as, address, site] = [61_340, 'dev.shop.cart.default', 'dev.db.main.default', 'dev.web.site.default']
  const stage = await Stage.open(t)
  const { clientAgent, client, serverAgent, scope } = stage
  const directory = scope.directory()
  chmodSync(directory, 0o755)
  writeFileSync(join(directory, 'index.html'), 'hello from site')
  await servePostgres(stage, bin)
  const serve = [
    'python3',
    '-u',
    '-m',
    'http.server',
    '--bind',
    '127.0.0.1',
    '--directory',
    directory,
    String(WEB_PORT)
  ]
  await stage.serve(serve, /Serving HTTP/)
  await serverAgent.cli('entry', 'add', '--uid', String(user), as)
  await stage.expose(address, { tcp: PORT, expose: ['--port', String(PORT)] }, 'dev.{shop,user}.*.default')
  await stage.expose(site, { tcp: WEB_PORT, expose: ['--port', '80'] }, 'dev.{shop,user}.*.default')
  chmodSync(dirname(clientAgent.runtimeDir), 0o755)
  // What libpq does first: a request for TLS, and the server's one letter.
  const app = join(directory, 'app.py')
  writeFileSync(
    app,
    `import socket, struct
s = socket.create_connection(('${address}.warren', ${PORT}))
s.sendall(struct.pack('!ii', 8, 80877103))
print(s.recv(1).decode())
`
  )
  const psql = ['psql', '-U', 'postgres', '-qAtc', 'select 6 * 7']
  const curl = ['curl', '-sS', '--fail']
  for (const [place, ...options] of [
    [{ host: client }],
    [{ host: client }, '--as', as],
    [{ host: client, uid: user }, '--as', as]
  ] as const) {
    const run = async (...command: string[]): Promise<string> => {
      const { stdout, stderr, code } = await clientAgent.attempt(['run', ...options, '--', ...command], place)
      // Nobody but root has the port of a site, which curl reaches by the proxy.
      const notice =
        'uid' in place && command[0] === 'curl' ? /^warren: PERMISSION_DENIED: .*ports below 1024.*\n$/ : /^$/
      assert.match(stderr, notice)
      assert.equal(code, 0)
      return stdout.trim()
    }
    // With --as, its scope goes without saying.
    const [database, web] = options.length === 0 ? [`${address}.warren`, site] : ['db.main.warren', 'web.site']
    const asked = 'uid' in place ? [`postgres://${address}.warren/postgres`] : ['-h', database]
    assert.equal(await run(...psql, ...asked), '42')
    assert.equal(await run(...curl, `http://${web}.warren/`), 'hello from site')
    assert.equal(await run('/usr/bin/python3', app), 'N')
  }
})
