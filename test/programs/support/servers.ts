import { globSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { FERRETDB } from './ferretdb.ts'
import type { Stage } from './stage.ts'
import { userNamed } from './users.ts'

/** Ports that these servers listen on, on the loopback of the server's host. */
export const PORTS = { postgres: 5432, redis: 6379, mariadb: 3306, mongo: 27017, rabbitmq: 5672, smtp: 2525 } as const

/** The directory of the programs of PostgreSQL, of whichever version is installed. */
export function postgresBin(): string | undefined {
  return globSync('/usr/lib/postgresql/*/bin')[0]
}

/** Everybody is let in, as `postgres`. */
export async function servePostgres(stage: Stage, bin: string): Promise<void> {
  const uid = userNamed('postgres')
  const data = join(stage.directoryOf(uid), 'data')
  await stage.onServer([join(bin, 'initdb'), '-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '-N'], uid)
  const settings = { listen_addresses: '127.0.0.1', unix_socket_directories: dirname(data), fsync: 'off' }
  const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  await stage.serve([join(bin, 'postgres'), '-D', data, ...flags], /ready to accept/, { stream: 'stderr', uid })
}

export async function serveRedis(stage: Stage): Promise<void> {
  const directory = stage.scope.directory()
  const argv = ['redis-server', '--port', String(PORTS.redis), '--bind', '127.0.0.1', '--save', '', '--dir', directory]
  await stage.serve(argv, /Ready to accept/)
}

/** Everybody is let in, as anybody. */
export async function serveMariadb(stage: Stage): Promise<void> {
  const uid = userNamed('mysql')
  const directory = stage.directoryOf(uid)
  const data = join(directory, 'data')
  await stage.onServer(['mariadb-install-db', '--no-defaults', `--datadir=${data}`, '--skip-test-db'], uid)
  const argv = ['mariadbd', '--no-defaults', `--datadir=${data}`, `--socket=${join(directory, 'socket')}`]
  const flags = ['--bind-address=127.0.0.1', `--port=${PORTS.mariadb}`, '--skip-grant-tables', '--skip-networking=0']
  await stage.serve([...argv, ...flags], /ready for connections/, { stream: 'stderr', uid })
}

/** A document store that speaks the protocol of MongoDB, over SQLite. */
export async function serveFerretdb(stage: Stage): Promise<void> {
  const directory = stage.scope.directory()
  const argv = [FERRETDB, '--handler=sqlite', `--sqlite-url=file:${directory}/`, `--state-dir=${directory}`]
  const flags = [`--listen-addr=127.0.0.1:${PORTS.mongo}`, '--debug-addr=-', '--telemetry=disable', '--log-level=info']
  await stage.serve([...argv, ...flags], /Listening on/, { stream: 'stderr' })
}

export async function serveRabbitmq(stage: Stage): Promise<void> {
  const uid = userNamed('rabbitmq')
  const directory = stage.directoryOf(uid)
  const env = {
    HOME: directory,
    RABBITMQ_NODENAME: 'rabbit@localhost',
    RABBITMQ_MNESIA_BASE: directory,
    RABBITMQ_LOG_BASE: directory,
    RABBITMQ_LOGS: '-',
    RABBITMQ_NODE_IP_ADDRESS: '127.0.0.1',
    RABBITMQ_NODE_PORT: String(PORTS.rabbitmq),
    RABBITMQ_PID_FILE: join(directory, 'pid'),
    RABBITMQ_ENABLED_PLUGINS_FILE: join(directory, 'plugins')
  }
  // What the script of /usr/sbin calls: that one changes users by itself, which a service manager has done here.
  const [server = 'rabbitmq-server'] = globSync('/usr/lib/rabbitmq/bin/rabbitmq-server')
  await stage.serve([server], /Server startup complete/, { uid, env })
}

const SMTP_SERVER = `
import asyncio, sys
from aiosmtpd.controller import Controller
class Handler:
    async def handle_DATA(self, server, session, envelope):
        print('letter', len(envelope.content), flush=True)
        return '250 OK'
Controller(Handler(), hostname='127.0.0.1', port=${PORTS.smtp}).start()
print('listening', flush=True)
asyncio.new_event_loop().run_forever()`

export async function serveSmtp(stage: Stage): Promise<void> {
  const script = join(stage.scope.directory(), 'smtp.py')
  writeFileSync(script, SMTP_SERVER)
  // That of Debian, which has its packages.
  await stage.serve(['/usr/bin/python3', script], /listening/)
}
