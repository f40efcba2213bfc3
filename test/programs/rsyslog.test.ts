import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import test from 'node:test'
import { verifyLog } from '../../src/audit/index.ts'
import { pushLog } from '../audit/push-support.ts'
import { FLOW, openLog, PEER } from '../audit/support.ts'
import { needsCommand, type Scope, scopeOf, waitFor } from '../harness/index.ts'

/** rsyslogd that writes the texts of messages to one file, and their structured data to another. */
class Rsyslog {
  readonly directory: string
  readonly port: number
  #end: (signal: NodeJS.Signals) => Promise<void> = async () => {}

  constructor(scope: Scope, port: number) {
    this.directory = scope.directory()
    this.port = port
    scope.defer(() => this.end('SIGKILL'))
    writeFileSync(
      join(this.directory, 'rsyslog.conf'),
      `global(workDirectory="${this.directory}" maxMessageSize="64k")
module(load="imtcp")
input(type="imtcp" address="127.0.0.1" port="${port}")
template(name="text" type="string" string="%msg%\\n")
template(name="data" type="string" string="%hostname% %programname% %syslogfacility-text% %syslogseverity-text% %msgid% %structured-data%\\n")
action(type="omfile" file="${this.directory}/text" template="text")
action(type="omfile" file="${this.directory}/data" template="data")
`
    )
  }

  start(): void {
    const args = ['-n', '-f', join(this.directory, 'rsyslog.conf'), '-i', join(this.directory, 'pid')]
    const child = spawn('rsyslogd', args, { stdio: ['ignore', 'ignore', 'inherit'] })
    const ended = once(child, 'exit')
    this.#end = async signal => {
      child.kill(signal)
      await ended
    }
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    const end = this.#end
    this.#end = async () => {}
    await end(signal)
  }

  lines(name: 'text' | 'data'): string[] {
    const path = join(this.directory, name)
    return existsSync(path) ? readFileSync(path, 'utf8').split('\n').slice(0, -1) : []
  }
}

test('rsyslog has each line of the log as it is in the file, also after it was killed and started again', async t => {
  if (!needsCommand(t, 'rsyslogd')) return
  const scope = scopeOf(t)
  const directory = scope.directory()
  const path = join(directory, 'audit.log')
  const rsyslog = new Rsyslog(scope, await freePort())
  rsyslog.start()
  const audit = await openLog(path)
  const push = pushLog({ scope, path, audit, to: [`syslog+tcp://127.0.0.1:${rsyslog.port}`] })
  for (let number = 0; number < 500; number += 1) audit.add('flow-opened', { ...FLOW, flowId: `f${number}` })
  await waitFor(() => rsyslog.lines('text').length > 0, 'lines at rsyslog')
  await rsyslog.end('SIGKILL')
  for (let number = 500; number < 1_000; number += 1) audit.add('flow-opened', { ...FLOW, flowId: `f${number}` })
  await waitFor(() => audit.waiting === 0, 'the records to be written')
  rsyslog.start()
  await waitFor(() => push.status[0]?.behind === 0, 'all lines to be pushed')
  await audit.close()
  await push.close()
  const written = readFileSync(path, 'utf8').split('\n').slice(0, -1)
  await waitFor(() => rsyslog.lines('text').at(-1)?.includes('"audit-closed"'), 'the last line')
  const got = rsyslog.lines('text').map(line => line.trimStart())
  assert.deepEqual([...new Set(got)], written)

  // What a receiver has kept can be verified as the log itself.
  const copy = join(directory, 'copy.log')
  writeFileSync(copy, `${[...new Set(got)].join('\n')}\n`)
  const { damage, lines, peers } = await verifyLog(copy, { peers: [PEER] })
  assert.deepEqual([damage, lines, peers], [undefined, written.length, [PEER]])
  assert.match(
    rsyslog.lines('data').at(-1) ?? '',
    /^a warren audit info audit-closed \[origin software="warren" swVersion="1\.0\.0"\]\[warren@32473 seq="\d+" /
  )
})

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  return port
}
