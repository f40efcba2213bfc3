import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import test from 'node:test'
import { inflateRawSync } from 'node:zlib'
import { freebsd } from '../../src/attest/bsd/freebsd.ts'
import { macos } from '../../src/attest/bsd/macos.ts'
import { openbsd } from '../../src/attest/bsd/openbsd.ts'
import { bsdPlatform, bsdProcessReader } from '../../src/attest/bsd/platform.ts'
import type { BsdCalls, BsdSystem } from '../../src/attest/bsd/system.ts'
import { fromDescriptor } from '../../src/attest/process-handle.ts'
import { implementation } from '../../src/attest/select.ts'

// Structures of a process 4711 of user 1001 (real 1002, saved 1003) and of groups 2001, 2002 and 2003, with other numbers
// where there is room for more groups. A C compiler (macOS, and what sockets tell) and the types that Go's cgo made of the
// systems' headers laid them out, and not the code under test. They were not taken on the systems themselves.
const groupsOf = (count: number) => `${count.toString(16).padStart(2, '0')}000000d1070000d2070000${'00'.repeat(56)}`
const SYSTEMS = {
  darwin: {
    system: macos,
    peer: `00000000e9030000${groupsOf(2)}`,
    process: 'Y2AgDqQLMYwCGoJXzAwMr5mxy70EioOkLrIzMFwC4stAzDnM/A8A',
    kevent: '6712000000000000fbff0100000000800000000000000000'
  },
  freebsd: {
    system: freebsd,
    peer: `00000000e9030000${groupsOf(2)}000000006712000000000000`,
    process: 'cmBhoApIF2KgKXjJzMDwipmB4TUzQgzEvMjOwHCJnYHhMjsDAyfDKBhowD4aBCMKAAIAAP//',
    kevent: '6712000000000000fbff0100000000800000000000000000'
  },
  openbsd: {
    system: openbsd,
    peer: 'e9030000d107000067120000',
    process: 'YqAjSBfCFHvJzMDwipmB4SI7hH+JnYHhMjsDAyeZdjAxjAJ6gNfMpKkHBAAA//8=',
    kevent: '6712000000000000fbff0100000000800000000000000000'
  }
}

interface Recorded {
  readonly system: BsdSystem
  readonly peer: string
  readonly process: string
}

function infoOf({ process: packed }: Recorded): Buffer {
  return inflateRawSync(Buffer.from(packed, 'base64'), { finishFlush: 2 })
}

/** The calls of a system on which one process runs, and one connects. */
function recordedCalls(recorded: Recorded, changes: Partial<BsdCalls> = {}) {
  const asked: unknown[] = []
  const ended = new Set<number>()
  const calls: BsdCalls = {
    option: (fd, level, name, bytes) => {
      asked.push([fd, level, name, bytes])
      const pid = Buffer.alloc(4)
      pid.writeInt32LE(4711)
      return bytes === 4 ? pid : Buffer.from(recorded.peer, 'hex')
    },
    sysctl: (name, bytes) => {
      asked.push([name, bytes])
      return infoOf(recorded)
    },
    kqueueWith: change => {
      asked.push(change.toString('hex'))
      return 77
    },
    readable: fds => fds.map(fd => ended.has(fd)),
    close: fd => asked.push(['close', fd]),
    ...changes
  }
  return { calls, asked, ended }
}

for (const [name, recorded] of Object.entries(SYSTEMS)) {
  test(`${name}: who connected is read from the structure of its socket option`, () => {
    const { calls, asked } = recordedCalls(recorded)
    const system = bsdPlatform(recorded.system, calls)
    assert.deepEqual(system.credentialsOf(5), { pid: 4711, uid: 1001, gid: 2001 })
    const options = {
      darwin: [
        [5, 0, 1, 76],
        [5, 0, 2, 4]
      ],
      freebsd: [[5, 0, 1, 88]],
      openbsd: [[5, 0xffff, 0x1022, 12]]
    }
    assert.deepEqual(asked, options[name as keyof typeof options])
    assert.equal(system.peerProcessFd(5), undefined)
  })

  test(`${name}: users and groups of a process are read from its kinfo_proc`, () => {
    const { calls, asked } = recordedCalls(recorded)
    assert.deepEqual(bsdPlatform(recorded.system, calls).userIdsOf(4711), [1002, 1001, 1003])
    const reader = bsdProcessReader(recorded.system, calls, 4711)
    assert.deepEqual(reader.groupIdsOf(4711), [2002, 2003])
    assert.equal(reader.sharesUserIds(4711), true)
    assert.equal(reader.cgroupOf(4711), undefined)
    const names = { darwin: [1, 14, 1, 4711], freebsd: [1, 14, 1, 4711], openbsd: [1, 66, 1, 4711, 616, 1] }
    assert.deepEqual(asked[0], [names[name as keyof typeof names], infoOf(recorded).length])
  })

  test(`${name}: a process is held by a kqueue that tells its end`, () => {
    const { calls, asked, ended } = recordedCalls(recorded)
    const system = bsdPlatform(recorded.system, calls)
    const handle = fromDescriptor(4711, system.openProcess(4711), system)
    const change = String(asked[0])
    assert.equal(change.length, recorded.system.keventBytes * 2)
    assert.ok(change.startsWith(recorded.kevent), change)
    assert.match(change.slice(recorded.kevent.length), /^0*$/)
    assert.equal(handle.isAlive(), true)
    ended.add(77)
    assert.equal(handle.isAlive(), false)
    handle.close()
    assert.deepEqual(asked.at(-1), ['close', 77])
  })

  test(`${name}: a kernel that does not name the peer, or that lays out another structure, is not believed`, async () => {
    const nobody = recordedCalls(recorded, { option: (_fd, _level, _name, bytes) => Buffer.alloc(bytes) })
    assert.throws(() => bsdPlatform(recorded.system, nobody.calls).credentialsOf(5))
    const nameless = recordedCalls(recorded, { option: (_fd, _level, _name, bytes) => Buffer.alloc(bytes, 0xff) })
    assert.throws(() => bsdPlatform(recorded.system, nameless.calls).credentialsOf(5))
    const { calls } = recordedCalls(recorded)
    assert.throws(() => bsdPlatform(recorded.system, calls).userIdsOf(4712), /answered for process 4711/)
    const short = recordedCalls(recorded, { sysctl: () => infoOf(recorded).subarray(8) })
    assert.throws(() => bsdPlatform(recorded.system, short.calls).userIdsOf(4711), /bytes, not/)
    const gone = recordedCalls(recorded, { sysctl: () => Buffer.alloc(0) })
    assert.throws(() => bsdPlatform(recorded.system, gone.calls).userIdsOf(4711), /0 bytes/)
    await assert.rejects(bsdProcessReader(recorded.system, calls).openExecutable(4711), /cannot be opened/)
  })

  test(`${name}: is chosen on 64-bit little-endian processors`, () => {
    const { calls } = recordedCalls(recorded)
    assert.equal(implementation(name, 'arm64', () => calls).platform.credentialsOf(5).uid, 1001)
    assert.throws(() => implementation(name, 'ppc64', () => calls), { code: 'UNSUPPORTED' })
  })
}

test('freebsd: the users of a jail are not those of the host', () => {
  const { calls } = recordedCalls(SYSTEMS.freebsd, {
    sysctl: name => {
      const info = infoOf(SYSTEMS.freebsd)
      if (name[3] === 1) {
        info.writeInt32LE(1, 72)
        info.writeInt32LE(0, 592)
      }
      return info
    }
  })
  assert.equal(bsdProcessReader(freebsd, calls, 1).sharesUserIds(4711), false)
  assert.equal(bsdProcessReader(freebsd, calls, 4711).sharesUserIds(4711), true)
  const jailed = bsdProcessReader(freebsd, calls, 1).viewOf(4711)
  assert.deepEqual([jailed.isOfHost, jailed.key], [false, undefined])
  assert.equal(bsdProcessReader(freebsd, calls, 4711).viewOf(4711).isOfHost, true)
  // The kernel answers for another process: nothing is known of this one.
  assert.equal(bsdProcessReader(freebsd, calls, 4711).viewOf(4712).isOfHost, false)
})

test('a system that is not known is refused with what is', () => {
  assert.throws(() => implementation('sunos', 'x64'), { code: 'UNSUPPORTED' })
})
