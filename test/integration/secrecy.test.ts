import assert from 'node:assert/strict'
import test from 'node:test'
import { decode, identityPb } from '../../src/wire/index.ts'
import { asRoot, Capture, createHosts, needsCommand, scopeOf, TestAgent } from '../harness/index.ts'

/** What must never cross the network readably: each name, and each form in which it could be written. */
function forms(name: string, secret: Uint8Array | string): Array<readonly [string, Buffer]> {
  const bytes = Buffer.from(secret)
  return [
    [name, bytes],
    [`${name} in base64url`, Buffer.from(bytes.toString('base64url'))],
    [`${name} in base64`, Buffer.from(bytes.toString('base64'))],
    [`${name} in hexadecimal`, Buffer.from(bytes.toString('hex'))]
  ]
}

function secretOf(token: string): Uint8Array {
  const bytes = Buffer.from(token.slice(token.indexOf('.') + 1), 'base64url')
  // Four bytes of checksum follow the message.
  return decode(identityPb.JoinTokenSchema, bytes.subarray(0, -4), 8_192).secret
}

for (const carrier of ['direct', 'reverse', 'mesh'] as const) {
  test(
    `a capture of joining, gossip, registration and traffic shows nothing readable (${carrier})`,
    asRoot,
    async t => {
      if (!needsCommand(t, 'tcpdump')) return
      const scope = scopeOf(t)
      const [left, right] = await createHosts(scope, 'quokka', 'numbat')
      const capture = await Capture.on(scope, left)
      const args = ['--carrier', carrier]
      const a = new TestAgent(scope, { name: 'quokka', args, host: left })
      await a.start(['--init', 'example.org', ...args])
      const token = (await a.cli('token', 'create', 'numbat')).trim()
      const b = new TestAgent(scope, { name: 'numbat', args, host: right })
      await b.start(['--join', token, ...args])
      await a.cli('allow', 'wombatscope.*.*.*', 'wombatscope.*.*.*')
      await b.follows(a)

      const serve = a.spawn(['serve', 'wombatscope.zebrafinch.bandicoot.default'])
      await serve.says(/serving/, 'stderr')
      await b.knows('wombatscope.zebrafinch.bandicoot.default')
      const client = b.spawn([
        'connect',
        'wombatscope.zebrafinch.bandicoot.default',
        '--as',
        'wombatscope.echidna.dingo.default'
      ])
      client.stdin.write('PAYLOAD-THERE\n')
      await serve.says(/PAYLOAD-THERE/)
      serve.stdin.write('PAYLOAD-BACK\n')
      await client.says(/PAYLOAD-BACK/)
      client.stdin.end()

      // Proves that the capture would have seen it.
      const send = `require('node:dgram').createSocket('udp4').send('CONTROL-IN-CLEAR', 9, process.argv[1], () => process.exit())`
      right.run(process.execPath, '-e', send, left.ip)
      await capture.holds('CONTROL-IN-CLEAR')
      const packets = await capture.stop()

      const names = ['wombatscope', 'zebrafinch', 'bandicoot', 'echidna', 'dingo', 'quokka', 'numbat', 'spiffe://']
      const secrets = [
        ...forms('the payload there', 'PAYLOAD-THERE'),
        ...forms('the payload back', 'PAYLOAD-BACK'),
        ...forms('the secret of the join token', secretOf(token)),
        ...names.map(name => [name, Buffer.from(name)] as const)
      ]
      assert.deepEqual(
        secrets.filter(([, bytes]) => packets.includes(bytes)).map(([name]) => name),
        []
      )
    }
  )
}
