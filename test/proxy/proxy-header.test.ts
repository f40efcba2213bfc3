import assert from 'node:assert/strict'
import { test } from 'node:test'
import { proxyHeader } from '../../src/proxy/proxy-header.ts'

// Written out from section 2.2 of the specification, byte by byte.
const SIGNATURE = '0d0a0d0a000d0a515549540a'
const SOURCE = { spiffeId: 'spiffe://d/a', flowId: '0011' }
const TLVS = `${'05'}${'0004'}${'30303131'}${'e0'}${'000c'}${Buffer.from('spiffe://d/a').toString('hex')}`
const hex = (buffer: Buffer): string => buffer.toString('hex')

test('PROXY v2: a TCP connection over IPv4, with the flow and the SPIFFE ID', () => {
  const ends = { kind: 'tcp', from: { host: '127.0.0.1', port: 40_000 }, to: { host: '127.0.0.2', port: 80 } } as const
  // Version 2, command PROXY; AF_INET and STREAM; 12 bytes of addresses, 22 of TLVs.
  assert.equal(
    hex(proxyHeader(ends, SOURCE)),
    `${SIGNATURE}21110022${'7f000001'}${'7f000002'}${'9c40'}${'0050'}${TLVS}`
  )
})

test('PROXY v2: a TCP connection over IPv6, however the addresses are written', () => {
  const ends = { kind: 'tcp', from: { host: '::1', port: 1 }, to: { host: 'fe80::1:2%lo', port: 2 } } as const
  const addresses = `${'0'.repeat(31)}1${'fe800000000000000000000000010002'}${'0001'}${'0002'}`
  assert.equal(hex(proxyHeader(ends, SOURCE)), `${SIGNATURE}2121003a${addresses}${TLVS}`)
})

test('PROXY v2: a unix socket is said to be of the loopback interface, since servers refuse AF_UNIX', () => {
  const header = hex(proxyHeader({ kind: 'unix' }, SOURCE))
  assert.equal(header, `${SIGNATURE}21110022${'7f000001'}${'7f000001'}${'0000'}${'0000'}${TLVS}`)
})

test('PROXY v2: addresses of two families are left out rather than invented', () => {
  const ends = { kind: 'tcp', from: { host: '127.0.0.1', port: 1 }, to: { host: '::1', port: 2 } } as const
  assert.equal(hex(proxyHeader(ends, SOURCE)), `${SIGNATURE}21000016${TLVS}`)
})
