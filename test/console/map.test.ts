import assert from 'node:assert/strict'
import { test } from 'node:test'
import { meshOf } from './mesh.ts'
import { browserFor, consoleOver, pageIn } from './support.ts'

/** A picture in each of 60 in a second. */
const FRAME_MS = 16
const STEPS = 60
/** The bound holds on a machine without other work; elsewhere the figure is shown, and whether the map draws. */
const isQuiet = process.env['TEST_FRAMES'] === 'yes'

// The processor time of the main thread, drawing on the canvas included, which this browser does there for want of a graphics
// processor. It hardly depends on what else the machine does.
test('a map of 500 hosts and 5,000 workloads pans at every size, and TEST_FRAMES=yes with at most 16 ms of work in a frame', async t => {
  const browser = await browserFor(t)
  if (browser === undefined) return
  const { server } = await consoleOver(t, meshOf(500))
  const page = await pageIn(browser)
  await page.goto(server.link())
  const map = page.getByRole('application', { name: 'Map of 500 hosts and 5,000 workloads' })
  await map.waitFor()
  await page.getByText('direct', { exact: true }).first().waitFor()
  const box = await map.boundingBox()
  assert.ok(box !== null)
  const middle = { x: box.x + box.width / 2, y: box.y + box.height / 2 }
  const devtools = await page.context().newCDPSession(page)
  await devtools.send('Performance.enable', { timeDomain: 'threadTicks' })
  const workMs = async (): Promise<number> => {
    const { metrics } = await devtools.send('Performance.getMetrics')
    return (metrics.find(({ name }) => name === 'TaskDuration')?.value ?? Number.NaN) * 1_000
  }
  // Everything at once; then hosts with their names; then workloads with theirs.
  for (const zooms of [0, 5, 5]) {
    await map.focus()
    for (let press = 0; press < zooms; press += 1) await page.keyboard.press('+')
    const drag = async (): Promise<number> => {
      await page.mouse.move(middle.x, middle.y)
      await page.mouse.down()
      const before = await workMs()
      for (let step = 0; step < STEPS; step += 1) {
        await page.mouse.move(middle.x + 200 * Math.sin(step / 10), middle.y + 100 * Math.cos(step / 7))
      }
      // Each movement has a frame of its own, and all other work of the page is counted with them.
      const perFrameMs = ((await workMs()) - before) / STEPS
      await page.mouse.up()
      t.diagnostic(`${perFrameMs.toFixed(1)} ms of work in a frame`)
      return perFrameMs
    }
    // Two threads of one core slow each other down, also by this clock: where the bound holds, one of three drags has to be
    // undisturbed.
    const leastMs = isQuiet ? Math.min(await drag(), await drag(), await drag()) : await drag()
    assert.ok(leastMs > 0, 'the map was drawn')
    if (isQuiet) assert.ok(leastMs <= FRAME_MS, `${leastMs.toFixed(1)} ms`)
  }
  assert.deepEqual(page.faults, [])
})
