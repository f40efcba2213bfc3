import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { after, type TestContext } from 'node:test'
import { isInstalled } from '../harness/index.ts'
import { FERRETDB } from './support/ferretdb.ts'
import {
  PORTS,
  postgresBin,
  serveFerretdb,
  serveMariadb,
  servePostgres,
  serveRabbitmq,
  serveRedis,
  serveSmtp
} from './support/servers.ts'
import { IS_FULL, isAskedFor, Stage } from './support/stage.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const EXAMPLES = join(ROOT, 'examples', 'node')
const AS = 'dev.shop.cart.default'
/** How often a script runs that must end each time. */
const RUNS = IS_FULL ? 40 : 8

const project = mkdtempSync(join(tmpdir(), 'warren-node-'))
after(() => rmSync(project, { recursive: true, force: true }))

/** The examples as a project of somebody: their packages from the registry, and warren as published. */
function install(): void {
  if (existsSync(join(project, 'package.json'))) return
  cpSync(EXAMPLES, project, { recursive: true })
  const npm = ['ci', '--ignore-scripts', '--no-audit', '--no-fund']
  execFileSync('npm', npm, { cwd: project, stdio: 'pipe' })
  const warren = join(project, 'node_modules', 'warren')
  mkdirSync(warren)
  copyFileSync(join(ROOT, 'package.json'), join(warren, 'package.json'))
  cpSync(join(ROOT, 'dist'), join(warren, 'dist'), { recursive: true })
}

interface Example {
  readonly address: string
  readonly port: number
  readonly env?: Record<string, string>
  readonly stdout: string
  /** Why its server cannot run here, if it cannot. */
  readonly missing: string | undefined
  readonly serve: (stage: Stage) => Promise<void>
}

const without = (command: string): string | undefined =>
  isInstalled(command) ? undefined : `needs ${command}: npm run test:programs installs it`
const bin = postgresBin()

const EXAMPLES_OF_SERVERS: Readonly<Record<string, Example>> = {
  pg: {
    address: 'dev.db.postgres.default',
    port: PORTS.postgres,
    env: { PGUSER: 'postgres', PGDATABASE: 'postgres' },
    stdout: '20 answers\n4 connections\n',
    missing: bin === undefined ? 'needs PostgreSQL: npm run test:programs installs it' : undefined,
    serve: stage => servePostgres(stage, bin ?? '')
  },
  ioredis: {
    address: 'dev.cache.redis.default',
    port: PORTS.redis,
    stdout: 'hello\n20 answers\n',
    missing: without('redis-server'),
    serve: serveRedis
  },
  mysql2: {
    address: 'dev.db.mariadb.default',
    port: PORTS.mariadb,
    env: { MYSQL_USER: 'root', MYSQL_DATABASE: 'mysql' },
    stdout: '20 answers\n',
    missing: without('mariadbd'),
    serve: serveMariadb
  },
  mongodb: {
    address: 'dev.db.mongo.default',
    port: PORTS.mongo,
    stdout: '20 documents\nword 7\n',
    missing: existsSync(FERRETDB) ? undefined : 'needs FerretDB: npm run test:programs builds it, if there is Go',
    serve: serveFerretdb
  },
  amqplib: {
    address: 'dev.queue.rabbitmq.default',
    port: PORTS.rabbitmq,
    stdout: '20 messages\n',
    missing: without('rabbitmq-server'),
    serve: serveRabbitmq
  },
  nodemailer: {
    address: 'dev.mail.smtp.default',
    port: PORTS.smtp,
    stdout: '5 letters\n',
    missing: existsSync('/usr/lib/python3/dist-packages/aiosmtpd')
      ? undefined
      : 'needs python3-aiosmtpd: npm run test:programs installs it',
    serve: serveSmtp
  }
}

async function open(t: TestContext): Promise<Stage> {
  install()
  return await Stage.open(t)
}

/** Runs an example to its end, which comes without a signal. */
async function run(stage: Stage, name: string, env: Record<string, string> = {}): Promise<string> {
  const argv = [process.execPath, join(project, `${name}.js`)]
  const { stdout, stderr } = await stage.onClient(
    argv,
    { ...env, WARREN_RUNTIME_DIR: stage.clientAgent.runtimeDir },
    60_000
  )
  assert.equal(stderr, '')
  return stdout
}

test('the examples of client libraries reach their servers on another host, and end', async t => {
  if (!isAskedFor(t, 'npm')) return
  const stage = await open(t)
  for (const [name, { address, port, env, stdout, missing, serve }] of Object.entries(EXAMPLES_OF_SERVERS)) {
    await t.test(name, async t => {
      if (missing !== undefined) return t.skip(missing)
      await serve(stage)
      await stage.expose(address, { tcp: port }, AS)
      const runMs = []
      for (let i = 0; i < 2; i += 1) {
        const startedMs = performance.now()
        assert.equal(await run(stage, name, env), stdout)
        runMs.push(Math.round(performance.now() - startedMs))
      }
      t.diagnostic(`${name}: ${runMs.join(' and ')} ms`)
    })
  }
})

test('the examples with a server of their own reach it on another host, and end each time', async t => {
  if (!isAskedFor(t, 'npm')) return
  const stage = await open(t)
  const env = { WARREN_RUNTIME_DIR: stage.serverAgent.runtimeDir }
  const servers = []
  for (const name of ['web-server', 'grpc-server']) {
    const server = stage.run(stage.server, [process.execPath, join(project, `${name}.js`)], undefined, env)
    await server.says(/^serving dev\.web\.\w+\.default\.\w+$/m)
    servers.push(server)
  }
  await stage.serverAgent.cli('allow', AS, 'dev.web.*.default')
  for (const name of ['site', 'greeter']) await stage.clientAgent.knows(`dev.web.${name}.default`)
  await stage.clientAgent.follows(stage.serverAgent)
  const clients = {
    undici: 'you asked for /prices/7\n20 answers\n200 you asked for /about\n',
    ws: 'hello\n1000000 bytes\n',
    'grpc-client': 'hello caller 7\n20 answers\n'
  }
  for (const [name, stdout] of Object.entries(clients)) {
    for (let i = 0; i < RUNS; i += 1) assert.equal(await run(stage, name), stdout)
  }
  for (const server of servers) assert.equal((await server.stop()).code, 0)
})
