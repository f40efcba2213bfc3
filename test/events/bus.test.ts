import assert from 'node:assert/strict'
import test from 'node:test'
import { type LogFields, silentLogger } from '../../src/core/index.ts'
import { EventBus } from '../../src/events/index.ts'

const ADMITTED = { machine: 'b', remote: '192.0.2.1', method: 'token', via: 'x' }

test('an event reaches every handler before emit returns, in the order of subscription, and nobody else', () => {
  const events = new EventBus(silentLogger)
  const heard: string[] = []
  events.on('host-admitted', ({ machine }) => heard.push(`first ${machine}`))
  events.on('host-admitted', ({ machine }) => heard.push(`second ${machine}`))
  events.on('join-refused', () => heard.push('another event'))
  events.emit('host-admitted', ADMITTED)
  assert.deepEqual(heard, ['first b', 'second b'])
})

test('a handler that throws keeps no other from its event, and is logged by the name of the event', () => {
  const errors: LogFields[] = []
  const events = new EventBus({ ...silentLogger, error: (_message, fields = {}) => errors.push(fields) })
  let heard = 0
  events.on('host-admitted', () => {
    throw new Error('no')
  })
  events.on('host-admitted', () => {
    heard += 1
  })
  events.emit('host-admitted', ADMITTED)
  assert.equal(heard, 1)
  assert.deepEqual(
    errors.map(({ component }) => component),
    ['host-admitted']
  )
})

test('a subscription that is ended hears nothing more, also when it ends itself, and the same function may subscribe twice', () => {
  const events = new EventBus(silentLogger)
  let heard = 0
  const count = (): void => {
    heard += 1
  }
  const end = events.on('host-admitted', count)
  events.on('host-admitted', count)
  const endOnce = events.on('host-admitted', () => {
    heard += 10
    endOnce()
  })
  events.emit('host-admitted', ADMITTED)
  assert.equal(heard, 12)
  end()
  end()
  events.emit('host-admitted', ADMITTED)
  assert.equal(heard, 13)
})
