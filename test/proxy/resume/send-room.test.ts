import assert from 'node:assert/strict'
import { it } from 'node:test'
import { SendRoom } from '../../../src/proxy/relay/send-room.ts'

it('a sender is told of room once, when its path has room and enough is acknowledged, in either order', () => {
  for (const pathFirst of [true, false]) {
    let isAhead = false
    let told = 0
    const room = new SendRoom(
      () => isAhead,
      () => (told += 1)
    )
    assert.equal(room.sent(true), true)
    room.pathHasRoom()
    room.look()
    assert.equal(told, 0, 'nobody waits')

    isAhead = true
    assert.equal(room.sent(false), false)
    const steps = [
      () => room.pathHasRoom(),
      () => {
        isAhead = false
        room.look()
      }
    ]
    for (const step of pathFirst ? steps : steps.toReversed()) {
      assert.equal(told, 0)
      step()
    }
    assert.equal(told, 1)
    room.pathHasRoom()
    room.look()
    assert.equal(told, 1)
  }
})
