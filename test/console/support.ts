import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { AgentClient } from '../../src/client/index.ts'
import { startConsole } from '../../src/console/index.ts'
import { fakeApi } from '../cli/fake-api.ts'
import { type Host, scopeOf } from '../harness/index.ts'

type Handlers = Parameters<typeof fakeApi>[1]

/** A console over an agent that answers what a test says. */
export async function consoleOver(t: TestContext, handlers: Handlers, allowsChanges = false) {
  const { runtimeDir } = await fakeApi(t, handlers)
  return await consoleOf(t, runtimeDir, allowsChanges)
}

/** A console over the agent of this runtime directory. */
export async function consoleOf(t: TestContext, runtimeDir: string, allowsChanges = false) {
  const agent = new AgentClient({ runtimeDir })
  const server = await startConsole({ agent, allowsChanges })
  scopeOf(t).defer(async () => {
    await server.stop()
    await agent.close()
  })
  const { port } = new URL(server.link())
  return { server, port: Number(port), origin: `http://127.0.0.1:${port}` }
}

const PROGRAMS = ['chromium-headless-shell', 'chromium', 'google-chrome', 'chromium-browser']

/** The path of a browser; undefined where none is installed. */
function browserPath(programs: readonly string[]): string | undefined {
  for (const program of programs) {
    try {
      return execFileSync('/bin/sh', ['-c', 'command -v "$0"', program], { encoding: 'utf8' }).trim()
    } catch {
      // The next one may be there.
    }
  }
  return undefined
}

interface BrowserPlace {
  /** The network and the resolver that it uses. @default those of this machine */
  readonly host?: Host
  readonly programs?: readonly string[]
  readonly args?: readonly string[]
}

/** A browser of this machine; otherwise skips `t` and says why. .ci/run installs one. */
export async function browserFor(t: TestContext, place: BrowserPlace = {}): Promise<Browser | undefined> {
  const installed = browserPath(place.programs ?? PROGRAMS)
  if (installed === undefined) {
    t.skip('needs a browser: apt-get install chromium-headless-shell')
    return undefined
  }
  // As root the browser has no sandbox of its own; it opens nothing but the pages of the test.
  const args = [...(process.getuid?.() === 0 ? ['--no-sandbox'] : []), ...(place.args ?? [])]
  const executablePath = place.host === undefined ? installed : entering(t, place.host, installed)
  const browser = await chromium.launch({ executablePath, args })
  scopeOf(t).defer(() => browser.close())
  return browser
}

/** A program that runs another one on a host. */
function entering(t: TestContext, host: Host, program: string): string {
  const path = join(scopeOf(t).directory(), 'browser')
  writeFileSync(path, `#!/bin/sh\nexec ${host.enter([program]).join(' ')} "$@"\n`, { mode: 0o755 })
  return path
}

/** A page whose errors, refused resources and unhandled rejections fail the test. */
export async function pageIn(
  browser: Browser,
  options: BrowserContextOptions = {}
): Promise<Page & { readonly faults: string[] }> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options })
  const page = await context.newPage()
  const faults: string[] = []
  page.on('pageerror', err => faults.push(err.message))
  page.on('console', message => {
    if (message.type() === 'error' || message.type() === 'warning') faults.push(message.text())
  })
  return Object.assign(page, { faults })
}
