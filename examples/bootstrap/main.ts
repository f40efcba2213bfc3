// An agent started with bootstrap peers, as between networks where mDNS does not reach.
//
//   node examples/bootstrap/main.ts        starts both agents on this machine, on ports of their own

import { expect, story } from '../support/stage.ts'

// Free ports on loopback, and no mDNS, so that nothing but the bootstrap address can help.
const PRETEND = ['--listen', '127.0.0.1:0', '--data-listen', '127.0.0.1:0', '--no-mdns']

await story(async stage => {
  const a = stage.host('a')
  const b = stage.host('b')

  stage.narrate('Once for each host: the first founds the trust domain, the second joins with a token.')
  const first = await stage.up(a, ['--init', 'wan.example', '--name', 'a'], PRETEND)
  const { stdout } = await stage.run(a, ['token', 'create', 'b'])
  const joined = await stage.up(b, ['--join', stdout.trim()], PRETEND)

  stage.narrate(
    'Both are switched off. They come back on other ports, so that what each remembers of the other is wrong.'
  )
  await Promise.all([first.stop(), joined.stop()])
  const again = await stage.up(a, [], PRETEND)
  const [, address = ''] = await again.says(/mesh (\/\S+\/p2p\/\w+)/)

  stage.narrate('b is told where one member is; from that one it learns of all others.')
  await stage.up(b, ['--bootstrap', address], PRETEND)
  await stage.until('b reaches a by its bootstrap address', async () => (await stage.status(b)).connected === 1)
  const { code, stdout: members } = await stage.run(b, ['members'])
  expect(code === 0 && /^a +connected/m.test(members), 'b is connected to a')
})
