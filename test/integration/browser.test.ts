import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { BrowserContext } from 'playwright-core'
import { browserFor } from '../console/support.ts'
import {
  at,
  createHosts,
  type Host,
  isInstalled,
  needsCommand,
  needsRoot,
  type Outcome,
  Program,
  scopeOf,
  startPair
} from '../harness/index.ts'

const PROXY = '127.0.0.1:1080'
/** Two sites on one host, one on the host of the browser. */
const SITES = ['one', 'two', 'three'] as const
const urlOf = (site: string): string => `http://dev.web.${site}.default.warren/`
const WHY = /UNAUTHORIZED: no rule and no whitelist entry allows it[\s\S]*NO +policy[\s\S]*It does not work\./
/** Chromium as Debian builds it. It evaluates PAC files, and chromium-headless-shell does not. */
const WITH_PAC = ['chromium', 'chromium-browser', 'google-chrome']
const SERVE = `for (const [index, site] of process.argv.slice(1).entries()) {
  const serve = (_, answer) => answer.setHeader('content-type', 'text/html').end('<title>' + site + '</title>this is ' + site)
  require('node:http').createServer(serve).listen(8080 + index, '127.0.0.1', () => console.log('serves', site))
}`

interface Mesh {
  /** Where the browser and curl run: agents are its only network. */
  readonly client: Host
  readonly run: (...argv: string[]) => Promise<Outcome>
}

/** Three sites on two hosts, and one that nobody may reach; a proxy and names on one of the hosts. */
async function mesh(t: TestContext): Promise<Mesh | undefined> {
  if (!needsRoot(t) || !needsCommand(t, 'curl') || !needsCommand(t, 'dig')) return undefined
  const scope = scopeOf(t)
  const [server, client] = await createHosts(scope, 'server', 'client')
  const [serverAgent, clientAgent] = await startPair(scope, { hosts: [server, client], args: ['--no-mdns'] })
  const places = [
    { host: server, agent: serverAgent, sites: ['one', 'two', 'closed'] },
    { host: client, agent: clientAgent, sites: ['three'] }
  ]
  for (const { host, agent, sites } of places) {
    const serving = new Program(scope, at({ host }, [process.execPath, '-e', SERVE, ...sites]))
    await Promise.all(sites.map(site => serving.says(new RegExp(`serves ${site}`))))
    const expose = async (site: string, index: number): Promise<void> => {
      const target = ['--tcp', `127.0.0.1:${8080 + index}`, '--port', '80']
      await agent.spawn(['expose', `dev.web.${site}.default`, ...target]).says(/^dev\.web\..*$/m)
    }
    await Promise.all(sites.map(expose))
  }
  await serverAgent.allow('dev.*.*.*', 'dev.web.{one,two,three}.default')
  await Promise.all(['one', 'two', 'closed'].map(site => clientAgent.knows(`dev.web.${site}.default`)))
  await clientAgent.follows(serverAgent)
  const resolv = join(scope.directory(), 'resolv.conf')
  writeFileSync(resolv, 'nameserver 127.0.0.1\n')
  client.run('mount', '--bind', resolv, '/etc/resolv.conf')
  await Promise.all([
    clientAgent.spawn(['proxy', '--listen', PROXY]).says(/^127/m),
    clientAgent.spawn(['dns', '--listen', '127.0.0.1:53']).says(/^127/m)
  ])
  const run = async (...argv: string[]): Promise<Outcome> => {
    const program = new Program(scope, at({ host: client }, argv))
    program.stdin.end()
    return await program.outcome()
  }
  return { client, run }
}

/** Shows each page of the three in turn, as a person would. */
async function shows(context: BrowserContext): Promise<void> {
  const page = await context.newPage()
  for (const site of SITES) {
    await page.goto(urlOf(site))
    // A page of the agent says why.
    assert.equal(await page.title(), site, (await page.textContent('body')) ?? '')
  }
  await page.close()
}

/** What the browser shows of the site that is refused. */
async function shownOfRefused(context: BrowserContext): Promise<string> {
  const page = await context.newPage()
  await page.goto(urlOf('closed'))
  return (await page.textContent('body')) ?? ''
}

test('a browser and curl reach three services on two hosts by name, over SOCKS5, HTTP and DNS, and show why one is refused', async t => {
  const all = await mesh(t)
  if (all === undefined) return
  const { client, run } = all
  for (const [way, ...args] of [
    ['SOCKS5', '--proxy', `socks5h://${PROXY}`],
    ['HTTP', '--proxy', `http://${PROXY}`],
    ['DNS', '--noproxy', '*']
  ] as const) {
    for (const site of SITES) {
      const { stdout, stderr } = await run('curl', '-sS', '--noproxy', '', ...args, urlOf(site))
      assert.match(stdout, new RegExp(`this is ${site}$`), `${way} ${site} ${stderr}`)
    }
    assert.match((await run('curl', '-sS', '--noproxy', '', ...args, urlOf('closed'))).stdout, WHY, way)
  }
  const { stdout } = await run('dig', '+short', 'TXT', 'dev.web.closed.default.warren')
  assert.match(stdout, /UNAUTHORIZED: .*warren explain dev\.user\.root\.default dev\.web\.closed\.default/)

  const browser = await browserFor(t, { host: client })
  if (browser === undefined) return
  const byDns = await browser.newContext()
  await shows(byDns)
  assert.match(await shownOfRefused(byDns), WHY)
  const bySocks = await browser.newContext({ proxy: { server: `socks5://${PROXY}` } })
  await shows(bySocks)
  assert.match(await shownOfRefused(bySocks), WHY)
  const byHttp = await browser.newContext({ proxy: { server: `http://${PROXY}` } })
  await shows(byHttp)
  assert.match(await shownOfRefused(byHttp), WHY)

  if (!WITH_PAC.some(isInstalled)) {
    t.diagnostic(`without a PAC file: needs one of ${WITH_PAC.join(', ')}`)
    return
  }
  const args = [`--proxy-pac-url=http://${PROXY}/proxy.pac`]
  const withPac = await browserFor(t, { host: client, programs: WITH_PAC, args })
  const byPac = await withPac?.newContext()
  assert(byPac)
  await shows(byPac)
  assert.match(await shownOfRefused(byPac), WHY)
})
