import test from 'node:test'
import { asRoot, scopeOf } from '../harness/index.ts'
import { DATA_PORT, outputOf, SHOP, SITE, startMesh, startServer, startExpose } from './mesh.ts'
import { setTimeout as pause } from 'node:timers/promises'

test('try', asRoot, async t => {
  const scope = scopeOf(t)
  const mesh = await startMesh(scope)
  const { a, b, c } = mesh.agents
  const t0 = performance.now()
  const see = async (name: string, agent: typeof a, ...args: string[]) => {
    const from = performance.now()
    console.log(`=== ${name} [${Math.round(from - t0)}]\n${await outputOf(agent, ...args)}(${Math.round(performance.now() - from)} ms)`)
  }
  await see('works', a, 'explain', SHOP, SITE, '--connect')
  await see('from b', b, 'explain', `${SHOP}.a`, SITE)
  await see('from c', c, 'explain', `${SHOP}.a`, SITE)
  await see('c own', c, 'explain', SHOP, SITE)
  await see('typo', a, 'explain', SHOP, 'dev.web.sita.default')
  await see('typo machine', a, 'explain', SHOP, `${SITE}.bb`)
  await see('uid', a, 'explain', SHOP, SITE, '--uid', '61400')
  mesh.hosts.b.block(DATA_PORT)
  await see('data port', a, 'explain', SHOP, SITE)
  mesh.hosts.b.heal()
  mesh.server.signal('SIGSTOP')
  await see('stopped', a, 'explain', SHOP, SITE)
  mesh.server.signal('SIGCONT')
  await mesh.server.kill()
  await see('down', a, 'explain', SHOP, SITE)
  await pause(3000)
  await see('down 3', a, 'explain', SHOP, SITE)
  mesh.server = await startServer(scope, mesh.hosts.b)
  await mesh.expose.kill()
  await see('expose dead', a, 'explain', SHOP, SITE)
  mesh.expose = await startExpose(b, SITE)
  await b.kill()
  await see('dead', a, 'explain', SHOP, SITE)
  await pause(5000)
  await see('dead 5', a, 'explain', SHOP, SITE)
  await a.cli('evict', 'c')
  await see('evicted', a, 'explain', SHOP, 'dev.web.docs.default')
  await see('evicted c', c, 'explain', SHOP, SITE)
})
