import { startAgent } from '../../src/agent/index.ts'

const [stateDir = '', runtimeDir = ''] = process.argv.slice(2)

const agent = await startAgent({
  stateDir,
  runtimeDir,
  name: 'embedded',
  init: 'library.example',
  listen: { host: '127.0.0.1', port: 0 },
  dataListen: { host: '127.0.0.1', port: 0 },
  mdns: false,
  logLevel: 'error'
})
console.log('ready:', agent.machine, 'of', agent.trustDomain)

process.once('SIGTERM', async () => {
  // No new flows; those that are open have ten seconds to finish.
  await agent.drain(10_000)
  await agent.stop()
})
