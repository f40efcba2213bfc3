import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { serveRedis } from './support/servers.ts'
import { IS_FULL, needsPrograms, Stage } from './support/stage.ts'

const PORT = '6379'
const REQUESTS = String(IS_FULL ? 1_000_000 : 20_000)
const VALUE_BYTES = (IS_FULL ? 64 : 8) * 1024 * 1024

test('Redis: pipelined commands, a large value and a subscription over two hosts', async t => {
  if (!needsPrograms(t, 'redis-server', 'redis-cli', 'redis-benchmark')) return
  const stage = await Stage.open(t)
  const directory = stage.scope.directory()
  await serveRedis(stage)
  await stage.forward('dev.cache.redis.default', { tcp: Number(PORT) })

  for (const pipeline of ['1', '64']) {
    const count = pipeline === '1' ? String(Number(REQUESTS) / 10) : REQUESTS
    const { stdout } = await stage.onClient([
      'redis-benchmark',
      '-p',
      PORT,
      '-n',
      count,
      '-P',
      pipeline,
      '-c',
      '50',
      '-t',
      'set,get,lrange_100',
      '-q',
      '--csv'
    ])
    const rows = stdout.split('\n').filter(line => /^"(?:SET|GET|LRANGE)/.test(line))
    assert.ok(rows.length >= 3, stdout)
    for (const row of rows) {
      const [name, perSecond, , , p50, , p99] = row.replaceAll('"', '').split(',')
      t.diagnostic(`redis-benchmark -P ${pipeline}: ${name} ${perSecond}/s, p50 ${p50} ms, p99 ${p99} ms`)
    }
  }

  const value = randomBytes(VALUE_BYTES)
  writeFileSync(join(directory, 'value'), value)
  const cli = `redis-cli -p ${PORT}`
  await stage.onClient([
    '/bin/sh',
    '-c',
    `${cli} -x set large < ${directory}/value && ${cli} get large > ${directory}/back`
  ])
  const { stdout } = await stage.onClient(['sha256sum', join(directory, 'back')])
  // redis-cli ends what it prints with a newline.
  assert.equal(stdout.split(' ')[0], createHash('sha256').update(value).update('\n').digest('hex'))

  const subscriber = stage.run(stage.client, ['redis-cli', '-p', PORT, 'subscribe', 'news'])
  await subscriber.says(/subscribe\nnews\n1/)
  assert.equal((await stage.onClient(['redis-cli', '-p', PORT, 'publish', 'news', 'hello'])).stdout.trim(), '1')
  await subscriber.says(/message\nnews\nhello/)
})
