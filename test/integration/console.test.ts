import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Page } from 'playwright-core'
import { meshOf } from '../console/mesh.ts'
import { browserFor, consoleOver, pageIn } from '../console/support.ts'
import { type Scope, scopeOf, startPair, type TestAgent } from '../harness/index.ts'

/** `npm run screenshots` writes those of the documentation; else nothing is written. */
const PICTURES = process.env['TEST_SCREENSHOTS']
/** What a host may say of itself must stay text. */
const HOSTILE = '<img src=x onerror=alert(1)>'
const REASON = PICTURES === undefined ? HOSTILE : 'the shop reads pages'

async function picture(page: Page, name: string): Promise<void> {
  if (PICTURES !== undefined) await page.screenshot({ path: join(PICTURES, `${name}.png`) })
}

/** An echo server, exposed by `b` as dev.web.site.default; two ports of `a` that lead to it, of which one may. */
async function workloads(scope: Scope, a: TestAgent, b: TestAgent): Promise<{ allowed: number; refused: number }> {
  const echo = createServer(socket => socket.on('error', () => {}).pipe(socket)).listen(0, '127.0.0.1')
  await once(echo, 'listening')
  scope.defer(() => void echo.close())
  const { port } = echo.address() as { port: number }
  b.spawn(['expose', 'dev.web.site.default', '--tcp', `127.0.0.1:${port}`, '--label', 'tier=front'])
  await a.cli('allow', 'dev.shop.*.*', 'dev.web.site.default', '--reason', REASON)
  await Promise.all([a.knows('dev.web.site.default'), b.follows(a)])
  return await forwards(a, 'dev.shop.cart.default', 'dev.blog.page.default')
}

/** Two ports of `agent` that lead to the server, for a source that may and for one that may not. */
async function forwards(agent: TestAgent, may: string, mayNot: string): Promise<{ allowed: number; refused: number }> {
  const forward = async (as: string): Promise<number> => {
    const program = agent.spawn(['forward', 'dev.web.site.default', '--as', as, '--listen', '127.0.0.1:0'])
    return Number((await program.says(/^127\.0\.0\.1:(\d+)/m))[1])
  }
  return { allowed: await forward(may), refused: await forward(mayNot) }
}

async function closed(socket: Socket): Promise<void> {
  await new Promise<void>(resolve => socket.on('error', () => {}).once('close', () => resolve()))
}

test('a person finds a refused attempt in the console, allows it after a dry run, and sees the flow', async t => {
  const browser = await browserFor(t)
  if (browser === undefined) return
  const scope = scopeOf(t)
  const [a, b] = await startPair(scope)
  const ports = await workloads(scope, a, b)
  const there = await forwards(b, 'dev.shop.till.default', 'dev.blog.feed.default')
  for (const port of [ports.allowed, there.allowed]) {
    const flow = connect(port, '127.0.0.1').on('error', () => {})
    scope.defer(() => void flow.destroy())
    flow.write('hello')
    await once(flow, 'data')
  }
  for (const port of [ports.refused, there.refused]) await closed(connect(port, '127.0.0.1'))

  const console = a.spawn(['console', '--allow-changes'])
  const link = (await console.says(/^(http:\S+)\n/m))[1] ?? ''
  const page = await pageIn(browser)
  const origin = new URL(link).origin
  const elsewhere: string[] = []
  page.on('request', request => void (new URL(request.url()).origin === origin || elsewhere.push(request.url())))
  await page.goto(link)

  // The map, and the same as tables.
  await page.getByRole('application', { name: 'Map of 2 hosts' }).waitFor()
  assert.doesNotMatch(page.url(), /#[\w-]{43}/)
  const flows = page.getByRole('table', { name: 'Flows of all hosts now' })
  await flows
    .getByRole('row', { name: /dev\.shop\.cart\.default\.a dev\.web\.site\.default\.b tcp direct .* r1 .* a, b/ })
    .waitFor()
  // One that this host has no part in.
  await flows.getByRole('row', { name: /dev\.shop\.till\.default\.b dev\.web\.site\.default\.b .* r1 .* b/ }).waitFor()
  await page.getByText(/^From 2 hosts, asked/).waitFor()

  // With the keyboard alone: the first link leads past the navigation, and the map opens what is in its middle.
  await page.keyboard.press('Tab')
  await page.getByRole('link', { name: 'Skip to the content' }).waitFor()
  await page.keyboard.press('Enter')
  assert.equal(await page.evaluate('document.activeElement.localName'), 'h1')
  await page.getByLabel('Find a host or a workload').fill('dev.web.site.default.b')
  await page.getByRole('application').press('Enter')
  await page.getByRole('heading', { level: 1, name: 'Workload dev.web.site.default.b' }).waitFor()
  await page.getByText('tier=front').waitFor()
  await page.getByRole('link', { name: 'b', exact: true }).click()
  await page.getByRole('heading', { level: 1, name: 'Host b' }).waitFor()
  await page
    .getByRole('table', { name: 'Workloads of b' })
    .getByRole('row', { name: /dev\.web.* passing/ })
    .waitFor()
  await page
    .getByRole('table', { name: 'Flows of b now' })
    .getByRole('row', { name: /dev\.shop\.till/ })
    .waitFor()

  // The policy, with what others wrote as text.
  await page.getByRole('link', { name: 'Policy', exact: true }).click()
  await page.getByRole('button', { name: 'dev.shop.cart.default to dev.web.site.default: allowed by r1' }).click()
  await page.getByRole('region', { name: 'Why' }).getByText(REASON).waitFor()
  assert.equal(await page.locator('img').count(), 0)
  await picture(page, 'policy')

  // The refused attempt, what a rule would do, and then the rule.
  await page.getByRole('link', { name: 'Refused', exact: true }).click()
  const refusals = page.getByRole('table', { name: 'Refused attempts of the last hour' })
  await refusals.getByRole('row', { name: /dev\.blog\.page\.default\.a .* a UNAUTHORIZED no rule/ }).waitFor()
  await refusals.getByRole('row', { name: /dev\.blog\.feed\.default\.b .* b UNAUTHORIZED no rule/ }).waitFor()
  await picture(page, 'refused')
  await page.getByRole('link', { name: 'Allow this: dev.blog.page.default to dev.web.site.default' }).click()
  await page.getByRole('button', { name: 'Dry run' }).waitFor()
  await page.getByLabel('Reason').fill('the blog reads it')
  await page.getByRole('button', { name: 'Dry run' }).click()
  await page
    .getByText("warren allow dev.blog.page.default dev.web.site.default --tcp --reason 'the blog reads it'")
    .waitFor()
  assert.doesNotMatch(await a.cli('policy', 'show'), /the blog reads it/)
  await picture(page, 'draft')
  await page.getByRole('button', { name: 'Put this rule in force' }).click()
  await page.getByText('Rule r2 is in force, as policy version 2.').waitFor()
  assert.match(await a.cli('policy', 'show'), /r2 .*dev\.blog\.page\.default .*the blog reads it/)
  await b.follows(a)
  const second = connect(ports.refused, '127.0.0.1').on('error', () => {})
  scope.defer(() => void second.destroy())
  second.write('hello')
  assert.equal(String((await once(second, 'data'))[0]), 'hello')

  await page.getByRole('link', { name: 'Explain', exact: true }).click()
  // The page of before has fields of the same names until the next frame.
  await page.getByRole('heading', { level: 1, name: 'Explain' }).waitFor()
  await page.getByLabel('Source').fill('dev.blog.page.default')
  await page.getByLabel('Destination').fill('dev.web.site.default')
  await page.getByRole('button', { name: 'Explain' }).click()
  const explanation = page.getByRole('region', { name: 'Explanation' })
  await explanation.waitFor()
  assert.match((await explanation.textContent()) ?? '', /^It works\./)
  assert.deepEqual(await explanation.getByRole('heading').allTextContents(), [
    'a, host of the source',
    'b, host of the destination'
  ])
  await page.getByRole('link', { name: 'Events', exact: true }).click()
  const events = page.getByRole('listitem')
  await events
    .filter({ hasText: /flow-refused.*dev\.blog\.page/ })
    .first()
    .waitFor()
  await events.filter({ hasText: /registration-added.*dev\/blog\/feed/ }).waitFor()
  await page.getByRole('link', { name: 'Certificates', exact: true }).click()
  await page.getByRole('row', { name: /^example\.org root/ }).waitFor()

  // The link is used up, and what this browser has is of no use to another one.
  const other = await pageIn(browser)
  await other.goto(link)
  await other.getByText('this link was used already, or is too old.').waitFor()
  await page.getByRole('button', { name: 'End session' }).click()
  await page.getByText('You have ended this session.').waitFor()
  await page.reload()
  await page.getByText('This browser has no session.').waitFor()
  assert.deepEqual([page.faults, elsewhere], [[], []])
  assert.equal((await console.stop()).code, 0)
})

test('every page has its landmarks, one heading, and names for its tables, fields and buttons, light and dark', async t => {
  const browser = await browserFor(t)
  if (browser === undefined) return
  const mesh = PICTURES === undefined ? meshOf(20) : meshOf(500, 24)
  const { server, origin } = await consoleOver(t, {
    ...mesh,
    admin: {
      ...mesh.admin,
      getPolicy: async () => ({
        version: 3n,
        rules: [{ id: 'r1', effect: 'allow', source: 'dev.*.*.*', destination: 'dev.group1.*.*' }]
      }),
      watchEvents: async function* () {
        yield {
          events: [{ name: 'host-lost', atMs: 1_700_000_000_000n, fields: JSON.stringify({ machine: HOSTILE }) }]
        }
      },
      listAuthorities: async () => ({})
    }
  })
  for (const colorScheme of ['light', 'dark'] as const) {
    const page = await pageIn(browser, { colorScheme, viewport: { width: 780, height: 520 } })
    await page.goto(server.link())
    await page.getByRole('application').waitFor()
    for (const name of [
      'map',
      'policy',
      'refused',
      'explain',
      'events',
      'certificates',
      'host/host-0001',
      'draft',
      'none'
    ]) {
      await page.goto(`${origin}/#/${name}`)
      await page.waitForFunction(`document.title !== ''`)
      assert.equal(await page.getByRole('main').count(), 1, name)
      assert.equal(await page.getByRole('navigation').count(), 1, name)
      assert.equal(await page.getByRole('heading', { level: 1 }).count(), 1, name)
      const unnamed = await page.evaluate(`[...document.querySelectorAll('table, input, select, button, a, canvas')]
        .filter(one => !(one.caption?.textContent || one.labels?.[0]?.textContent || one.ariaLabel || one.textContent))
        .map(one => one.outerHTML)`)
      assert.deepEqual(unnamed, [], name)
    }
    const background = await page.evaluate('getComputedStyle(document.body).backgroundColor')
    assert.equal(background, colorScheme === 'dark' ? 'rgb(18, 21, 26)' : 'rgb(246, 247, 249)')
    await page.goto(`${origin}/#/map`)
    if (colorScheme === 'dark' && PICTURES !== undefined) {
      await page.getByRole('application').focus()
      for (let press = 0; press < 3; press += 1) await page.keyboard.press('+')
      await page.getByRole('table', { name: /^Flows/ }).waitFor()
      await picture(page, 'map')
    }
    assert.deepEqual(page.faults, [])
  }
})
