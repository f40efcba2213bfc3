import assert from 'node:assert/strict'
import { test } from 'node:test'
import { silentLogger } from '../../src/core/index.ts'
import { codePages } from '../../src/upkeep/memory/code-pages.ts'
import { Rest } from '../../src/upkeep/memory/rest.ts'

const MIB = 1024 * 1024

/** A process of which half of the heap is garbage; `look` is a look five seconds after the last. */
function resting(canCollect = true) {
  let [nowMs, heapBytes, usedMs, moved, collections, releases] = [0, 40 * MIB, 0, 0, 0, 0]
  const rest = new Rest({
    collect: () => {
      if (!canCollect) return false
      collections += 1
      heapBytes = 30 * MIB
      return true
    },
    release: () => {
      releases += 1
    },
    movedBytes: () => moved,
    heapBytes: () => heapBytes,
    cpuMs: () => usedMs,
    log: silentLogger,
    clock: { monotonicMs: () => nowMs, wallMs: () => nowMs },
    signal: new AbortController().signal
  })
  const look = (work: { readonly usedMs?: number; readonly movedBytes?: number } = {}): boolean => {
    nowMs += 5_000
    usedMs += work.usedMs ?? 0
    moved += work.movedBytes ?? 0
    return rest.look()
  }
  const grow = (bytes: number): void => {
    heapBytes += bytes
  }
  return { look, grow, count: () => ({ collections, releases }) }
}

test('what the start has left is collected once when the process has come to rest, and pages are given back in each long rest', () => {
  const { look, count } = resting()
  look({ usedMs: 2_000 })
  look()
  assert.deepEqual(count(), { collections: 0, releases: 0 })
  look()
  assert.deepEqual(count(), { collections: 1, releases: 1 })
  for (let looks = 0; looks < 59; looks += 1) look({ usedMs: 50 })
  assert.deepEqual(count(), { collections: 1, releases: 1 })
  look()
  assert.deepEqual(count(), { collections: 1, releases: 2 })
})

test('a heap that has grown is collected, but not while bytes pass or the processor is used', () => {
  const { look, grow, count } = resting()
  look()
  look()
  grow(8 * MIB)
  for (let looks = 0; looks < 10; looks += 1) look(looks % 2 === 0 ? { usedMs: 600 } : { movedBytes: 2 * MIB })
  assert.equal(count().collections, 1)
  look()
  look()
  assert.equal(count().collections, 2)
})

test('where V8 collects by itself nothing is done', () => {
  const { look, count } = resting(false)
  assert.equal(look(), true)
  assert.equal(look(), false)
  assert.deepEqual(count(), { collections: 0, releases: 0 })
})

const mapping = (line: string, anonymousKib: number): string =>
  `${line}\nSize:              1024 kB\nRss:                 64 kB\nAnonymous:          ${anonymousKib} kB\nVmFlags: rd mr mw me`

test('only pages of a file that is executed, and cannot be written to, are code pages: others may be unmapped meanwhile', () => {
  const smaps = [
    mapping('00400000-02e00000 r-xp 00a00000 fe:00 1234                       /usr/bin/a program', 0),
    mapping('03000000-03100000 r--p 00a00000 fe:00 1234                       /usr/bin/a program', 0),
    mapping('02f00000-02f01000 r--p 00000000 fe:00 1234                       /etc/ld.so.cache', 0),
    mapping('04000000-04100000 r--p 00a00000 fe:00 1234                       /usr/lib/relocated.so', 4),
    mapping('05000000-05100000 rw-p 00a00000 fe:00 1234                       /usr/bin/node', 0),
    mapping('06000000-06100000 r--s 00000000 fe:00 1234                       /dev/shared', 0),
    mapping('07000000-07100000 r--p 00000000 00:00 0 ', 0),
    mapping('08000000-08100000 r-xp 00000000 00:00 0                          [vdso]', 0)
  ].join('\n')
  assert.deepEqual(codePages(smaps), [
    { address: 0x400000, bytes: 0x2a00000 },
    { address: 0x3000000, bytes: 0x100000 }
  ])
})
