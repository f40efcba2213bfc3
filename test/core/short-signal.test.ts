import assert from 'node:assert/strict'
import { test } from 'node:test'
import { raceAbort, ShortSignal, sleep, within } from '../../src/core/index.ts'

type Controller = Pick<AbortController, 'abort' | 'signal'>

const KINDS: Readonly<Record<string, () => Controller>> = {
  'a controller of Node': () => new AbortController(),
  'a ShortSignal': () => new ShortSignal()
}

for (const [name, make] of Object.entries(KINDS)) {
  test(`${name} calls each listener once, with itself, at the first abort, and keeps that reason`, () => {
    const controller = make()
    const { signal } = controller
    const called: unknown[] = []
    const listeners = Array.from(
      { length: 3 },
      () =>
        function (this: AbortSignal): void {
          called.push(this.reason)
        }
    )
    for (const listener of listeners) signal.addEventListener('abort', listener, { once: true })
    signal.throwIfAborted()
    const reason = new Error('cut')
    controller.abort(reason)
    controller.abort(new Error('again'))
    assert.deepEqual(called, [reason, reason, reason])
    assert.equal(signal.aborted, true)
    assert.throws(() => signal.throwIfAborted(), reason)
  })

  test(`${name} calls no listener that was removed, was added twice, or came after the abort`, () => {
    const controller = make()
    const { signal } = controller
    let calls = 0
    const count = (): void => {
      calls += 1
    }
    const removed = (): void => assert.fail('it was removed')
    for (const listener of [removed, count, count]) signal.addEventListener('abort', listener, { once: true })
    signal.removeEventListener('abort', removed)
    controller.abort()
    signal.addEventListener('abort', removed)
    assert.equal(calls, 1)
    assert.equal((signal.reason as DOMException).name, 'AbortError')
  })

  test(`${name} calls no listener that one before it has removed`, () => {
    const controller = make()
    const { signal } = controller
    const second = (): void => assert.fail('it was removed')
    signal.addEventListener('abort', () => signal.removeEventListener('abort', second), { once: true })
    signal.addEventListener('abort', second, { once: true })
    controller.abort()
  })

  test(`${name} ends a step that waits, as its own controller and as a parent, and keeps nothing linked`, async () => {
    const parent = make()
    const reason = new Error('stop')
    const running = within(60_000, [parent.signal], signal => sleep(60_000, signal), make())
    parent.abort(reason)
    await assert.rejects(running, reason)
    await assert.rejects(
      within(1, [], signal => raceAbort(new Promise<never>(() => {}), signal), make()),
      { name: 'TimeoutError' }
    )
    const other = make()
    await within(60_000, [other.signal], () => Promise.resolve(), make())
    other.abort(reason)
  })
}
