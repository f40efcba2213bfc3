import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { AddressDialler } from '../../src/proxy/carriers/address-dialler.ts'
import { goodFirst, pathsTo } from '../../src/proxy/carriers/address-paths.ts'

const [ONE, OTHER, SIX] = ['10.1.0.1:7461', '10.2.0.1:7461', '[fd00::1]:7461']
const LOCAL = ['10.1.0.2', '10.2.0.2', 'fd00::2']

function shown(addresses: readonly string[], silent: Parameters<typeof pathsTo>[1], locals: readonly string[] = []) {
  return pathsTo(addresses, silent, () => locals).map(({ address, localAddress }) =>
    localAddress === undefined ? address : `${localAddress} ${address}`
  )
}

describe('the paths to an agent', () => {
  it('are its addresses, in their order, as long as none is silent', () => {
    assert.deepEqual(shown([ONE, OTHER], [], LOCAL), [ONE, OTHER])
  })

  it('begin with its other addresses when one is silent, and begin at other addresses of this host', () => {
    const silent = [{ address: ONE, localAddress: '10.1.0.2' }]
    assert.deepEqual(shown([ONE, OTHER], silent), [OTHER, ONE])
    assert.deepEqual(shown([ONE, SIX], silent, LOCAL), [SIX, `10.2.0.2 ${ONE}`, `fd00::2 ${SIX}`, ONE])
  })

  it('keep one over another link that led to the agent last, also when no other is known to be silent any more', () => {
    const good = { address: ONE, localAddress: '10.2.0.2' }
    const ordered = (locals: readonly string[]) =>
      goodFirst(
        pathsTo([ONE], [], () => locals),
        good,
        [ONE],
        () => locals
      )
    assert.deepEqual(ordered(LOCAL), [{ address: ONE }, good])
    assert.deepEqual(ordered(['10.1.0.2']), [{ address: ONE }], 'the link is gone')
    assert.deepEqual(
      goodFirst([{ address: ONE }], good, [OTHER], () => LOCAL),
      [{ address: ONE }]
    )
  })

  it('lead back to one that was silent before the last', () => {
    const silent = [
      { address: ONE, localAddress: '10.1.0.2' },
      { address: OTHER, localAddress: '10.2.0.2' }
    ]
    assert.deepEqual(shown([ONE, OTHER], silent), [ONE, OTHER])
  })

  it('are sixteen at most, and end with the silent one', () => {
    const many = Array.from({ length: 40 }, (_, at) => `10.1.0.${at + 1}:7461`)
    const paths = shown(many, [{ address: '10.1.0.1:7461', localAddress: '10.1.0.200' }], LOCAL)
    assert.equal(paths.length, 16)
    assert.equal(paths.at(-1), '10.1.0.1:7461')
  })

  it('are none but the silent one where both hosts have one address, or a name that may be the same', () => {
    for (const address of [ONE, 'a.example.org:7461']) {
      const dialler = new AddressDialler({ localAddresses: () => ['10.1.0.2'], nowMs: () => 0 })
      const made = { at: { address }, socket: { localAddress: '::ffff:10.1.0.2' } }
      assert.equal(dialler.avoid('peer' as never, [address], made as never), false)
    }
  })
})
