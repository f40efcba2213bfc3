import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import test from 'node:test'
import { PORTS, serveMariadb, serveRabbitmq } from './support/servers.ts'
import { IS_FULL, isAskedFor, Stage } from './support/stage.ts'

const NATS_PORT = 4222
const ROWS = IS_FULL ? 100_000 : 5_000
const MESSAGES = IS_FULL ? 100_000 : 2_000

// NATS has no command line in Debian: this speaks its protocol, of lines.
const NATS_CLIENT = `
import socket, sys, threading
count = ${MESSAGES}
def connect():
    connection = socket.create_connection(('127.0.0.1', ${NATS_PORT}))
    file = connection.makefile('rwb')
    assert file.readline().startswith(b'INFO ')
    file.write(b'CONNECT {"verbose":false}\\r\\nPING\\r\\n'); file.flush()
    assert file.readline() == b'PONG\\r\\n'
    return file
subscriber, publisher = connect(), connect()
subscriber.write(b'SUB news 1\\r\\nPING\\r\\n'); subscriber.flush()
assert subscriber.readline() == b'PONG\\r\\n'
def publish():
    for index in range(count):
        text = str(index).encode()
        publisher.write(b'PUB news %d\\r\\n%s\\r\\n' % (len(text), text))
    publisher.flush()
threading.Thread(target=publish).start()
for index in range(count):
    assert subscriber.readline().startswith(b'MSG news 1 ')
    assert subscriber.readline() == b'%d\\r\\n' % index
print(count, 'messages in order')`

test('MariaDB: a table, its dump as on the server, and many clients over two hosts', async t => {
  if (!isAskedFor(t, 'mariadbd', 'mariadb', 'mariadb-dump', 'mariadb-slap')) return
  const stage = await Stage.open(t)
  await serveMariadb(stage)
  await stage.forward('dev.db.mariadb.default', { tcp: PORTS.mariadb, expose: ['--server-user', 'mysql'] })
  const remote = ['--no-defaults', '-h', '127.0.0.1', '-P', String(PORTS.mariadb), '-u', 'root']
  const sql = `create database shop; use shop; create table goods as
    select seq, md5(seq) as word, repeat(md5(seq), 20) as words from seq_1_to_${ROWS}`
  await stage.onClient(['mariadb', ...remote, '-e', sql])
  const dump = ['mariadb-dump', ...remote, '--skip-comments', 'shop']
  const hash = (text: string): string => createHash('sha256').update(text).digest('hex')
  const { stdout } = await stage.onClient(dump)
  assert.equal(hash(stdout), hash((await stage.onServer(dump)).stdout))
  t.diagnostic(`mariadb-dump: ${(stdout.length / 1e6).toFixed(0)} MB`)
  const query = ['--create-schema=shop', '--query=select count(*) from goods where seq < 100', '--concurrency=8']
  const slap = await stage.onClient(['mariadb-slap', ...remote, ...query, '--iterations=20'])
  t.diagnostic(slap.stdout.replaceAll(/\s+/g, ' ').trim())
})

test('RabbitMQ: a queue is declared, filled and read over two hosts', async t => {
  if (!isAskedFor(t, 'rabbitmq-server', 'amqp-publish', 'amqp-get', 'amqp-declare-queue')) return
  const stage = await Stage.open(t)
  await serveRabbitmq(stage)
  await stage.forward('dev.queue.rabbitmq.default', { tcp: PORTS.rabbitmq, expose: ['--server-user', 'rabbitmq'] })
  const url = `--url=amqp://guest:guest@127.0.0.1:${PORTS.rabbitmq}`
  await stage.onClient(['amqp-declare-queue', url, '--queue=orders'])
  for (const body of ['one', 'two'])
    await stage.onClient(['amqp-publish', url, '--routing-key=orders', `--body=${body}`])
  for (const body of ['one', 'two']) {
    assert.equal((await stage.onClient(['amqp-get', url, '--queue=orders'])).stdout.trim(), body)
  }
})

test('NATS: a subscriber gets what a publisher sends, in order, over two hosts', async t => {
  if (!isAskedFor(t, 'nats-server', 'python3')) return
  const stage = await Stage.open(t)
  await stage.serve(['nats-server', '-a', '127.0.0.1', '-p', String(NATS_PORT)], /Server is ready/, {
    stream: 'stderr'
  })
  await stage.forward('dev.queue.nats.default', { tcp: NATS_PORT })
  const { stdout } = await stage.onClient(['python3', '-c', NATS_CLIENT])
  assert.equal(stdout.trim(), `${MESSAGES} messages in order`)
})
