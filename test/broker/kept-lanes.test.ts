import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Accepted, dial, readAll, readBytes } from './support/sockets.ts'
import { World } from './support/world.ts'

const NAME = 'dev.test.server.default'

describe('a session with many flows', () => {
  it('keeps lanes', async () => {
    await using world = await World.create()
    const near = await world.host('alpha', { laneWorth: { flowsPerSecond: 0 } })
    const far = await world.host('beta', {})
    const source = near.register('dev.test.client.default')
    const accepted = new Accepted()
    await far.serve(NAME, accepted.push)
    const { path } = await near.connect(source, NAME)
    for (let i = 0; i < 20; i += 1) {
      const client = await dial(path)
      client.end('x')
      const server = await accepted.next()
      await readBytes(server, 1)
      console.log(near.broker.flows().map(f => f.carrier), far.broker.flows().map(f => f.carrier))
      server.end('y')
      assert.equal((await readAll(client)).toString(), 'y')
    }
    console.log(near.lines.filter(l => l.level !== 'info').map(l => [l.message, String(l.fields.err)]))
    console.log(far.lines.filter(l => l.level !== 'info').map(l => [l.message, String(l.fields.err)]))
  })
})
