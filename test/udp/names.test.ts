import assert from 'node:assert/strict'
import { SocketAddress } from 'node:net'
import { networkInterfaces } from 'node:os'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { decodeName, encodeName } from '../../src/udp/native/names.ts'

const port = fc.integer({ min: 0, max: 65_535 })

describe('an address as the system has it', () => {
  it('is read as it was written, of IPv4 on either kind of socket', () => {
    fc.assert(
      fc.property(fc.ipV4(), port, fc.boolean(), (address, number, is6) => {
        const remote = { address, port: number }
        assert.deepEqual(decodeName(encodeName(remote, is6) ?? Buffer.alloc(28)), remote)
      })
    )
  })

  it('is read as Node would show it, of IPv6', () => {
    fc.assert(
      fc.property(fc.ipV6(), port, (address, number) => {
        const shown = new SocketAddress({ address, family: 'ipv6', port: number }).address.replace(
          /^::ffff:(?=\d+\.)/,
          ''
        )
        const name = encodeName({ address, port: number }, true)
        assert.equal(name?.length, 28)
        assert.deepEqual(decodeName(name ?? Buffer.alloc(28)), { address: shown, port: number })
      })
    )
  })

  it('has the bytes of the headers of Linux', () => {
    assert.equal(
      encodeName({ address: '10.1.2.3', port: 0x1234 }, false)?.toString('hex'),
      '020012340a0102030000000000000000'
    )
    assert.equal(
      encodeName({ address: '2001:db8::7', port: 1 }, true)?.toString('hex'),
      '0a0000010000000020010db8000000000000000000000007' + '00000000'
    )
  })

  it('is none where the socket or the system cannot say it', () => {
    for (const address of ['', 'localhost', '1.2.3', '::1%nowhere', '::1%constructor', '::1%toString'])
      assert.equal(encodeName({ address, port: 1 }, true), undefined)
    assert.equal(encodeName({ address: '::1', port: 1 }, false), undefined)
    assert.equal(decodeName(Buffer.alloc(28)), undefined)
  })

  it('keeps its zone', t => {
    const [zone] =
      Object.entries(networkInterfaces()).find(([, all]) => all?.some(({ scopeid = 0 }) => scopeid > 0)) ?? []
    if (zone === undefined) return t.skip('no link-local address here')
    const remote = { address: `fe80::1%${zone}`, port: 5 }
    assert.deepEqual(decodeName(encodeName(remote, true) ?? Buffer.alloc(28)), remote)
  })
})
