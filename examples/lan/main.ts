// Two agents on one LAN that find each other by mDNS: no address of either is given to the other.
//
//   node examples/lan/main.ts        starts both on this machine, on ports of their own

import { expect, story } from '../support/stage.ts'

// Free ports on the real interfaces, where mDNS is spoken.
const PRETEND = ['--listen', '0.0.0.0:0', '--data-listen', '0.0.0.0:0']

await story(async stage => {
  const a = stage.host('a')
  const b = stage.host('b')

  stage.narrate('Once for each host: the first founds the trust domain, the second joins with a token.')
  const first = await stage.up(a, ['--init', 'lan.example', '--name', 'a'], PRETEND)
  const { stdout } = await stage.run(a, ['token', 'create', 'b'])
  const joined = await stage.up(b, ['--join', stdout.trim()], PRETEND)

  stage.narrate(
    'Both are switched off. They come back on other ports, so that what each remembers of the other is wrong.'
  )
  await Promise.all([first.stop(), joined.stop()])
  await Promise.all([stage.up(a, [], PRETEND), stage.up(b, [], PRETEND)])

  stage.narrate('mDNS tells each where the other is now.')
  await stage.until('the two agents find each other by mDNS', async () => (await stage.status(b)).connected === 1)
  const { code, stdout: members } = await stage.run(b, ['members'])
  expect(code === 0 && /^a +connected/m.test(members), 'b is connected to a')
})
