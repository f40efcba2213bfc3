import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Turns } from '../../src/proxy/punch/turns.ts'

/** Begins one connection attempt after another, which end when they are told to. */
function attempts(turns: Turns) {
  const begun: string[] = []
  const ends: Array<() => void> = []
  return {
    begun,
    add: (user: string, name: string, signal = new AbortController().signal) =>
      turns.run(user, signal, () => {
        begun.push(name)
        return new Promise<void>(resolve => ends.push(resolve))
      }),
    async endNext() {
      ends.shift()?.()
      await new Promise(resolve => setImmediate(resolve))
    }
  }
}

test('a user with many connections to punch does not delay the one of another user', async () => {
  const { begun, add, endNext } = attempts(new Turns(2))
  for (let at = 1; at <= 6; at += 1) add('many', `many ${at}`).catch(() => {})
  add('one', 'one').catch(() => {})
  for (let ended = 0; ended < 5; ended += 1) await endNext()
  assert.deepEqual(begun, ['many 1', 'many 2', 'many 3', 'one', 'many 4', 'many 5', 'many 6'])
})

test('who gives up while it waits takes no turn, and one that came just then goes to the next', async () => {
  const { begun, add, endNext } = attempts(new Turns(1))
  const [waiting, late] = [new AbortController(), new AbortController()]
  add('a', 'first').catch(() => {})
  const given = add('a', 'given up', waiting.signal)
  const raced = add('b', 'raced', late.signal)
  add('c', 'last').catch(() => {})
  waiting.abort(new Error('no longer wanted'))
  await assert.rejects(given, /no longer wanted/)
  const ended = endNext()
  late.abort(new Error('too late'))
  await raced.catch(() => {})
  await ended
  await endNext()
  await endNext()
  assert.equal(begun.includes('given up'), false)
  assert.equal(begun.includes('last'), true)
})
