import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { describe, it } from 'node:test'
import { promisify } from 'node:util'
import { silentLogger } from '../../src/core/index.ts'
import { GiveBack } from '../../src/upkeep/memory/give-back.ts'

const MIB = 1024 * 1024

/** A process of which `keptBytes` are kept by the C library, in pieces of any size. */
function library(keptBytes: number) {
  let [kept, nowMs, address, moved, trims] = [keptBytes, 0, 0, 0, 0]
  const claimed = new Set<number>()
  let claimedAtOnce = 0
  let mostAtOnce = 0
  const giveBack = new GiveBack({
    allocator: {
      claim: bytes => {
        nowMs += bytes / MIB
        kept = Math.max(0, kept - bytes)
        address += 1
        claimed.add(address)
        claimedAtOnce += bytes
        mostAtOnce = Math.max(mostAtOnce, claimedAtOnce)
        return address
      },
      free: one => void claimed.delete(one),
      release: () => {},
      trim: () => {
        trims += 1
        kept = 0
      }
    },
    movedBytes: () => moved,
    memory: () => {
      claimedAtOnce = 0
      return { residentBytes: 100 * MIB + kept, usedBytes: 50 * MIB }
    },
    log: silentLogger,
    clock: { monotonicMs: () => nowMs, wallMs: () => nowMs },
    signal: new AbortController().signal
  })
  return {
    giveBack,
    keep: (bytes: number): void => {
      kept += bytes
    },
    move: (bytes: number): void => {
      moved += bytes
    },
    now: () => ({ kept, claimed: claimed.size, trims, mostAtOnce })
  }
}

describe('memory that the C library keeps', () => {
  it('goes back in slices of a few milliseconds, and all that was claimed for it is freed', async () => {
    const { giveBack, keep, now } = library(0)
    await giveBack.look()
    keep(200 * MIB)
    await giveBack.look()
    const { kept, claimed, trims, mostAtOnce } = now()
    assert.deepEqual([kept, claimed, trims], [0, 0, 1])
    assert.ok(mostAtOnce <= 8 * MIB, `${mostAtOnce} bytes at once`)
  })

  it('stays while flows move, and while it is little', async () => {
    const { giveBack, keep, move, now } = library(0)
    await giveBack.look()
    keep(10 * MIB)
    await giveBack.look()
    keep(200 * MIB)
    move(5 * MIB)
    await giveBack.look()
    assert.deepEqual([now().kept, now().trims], [210 * MIB, 0])
    await giveBack.look()
    assert.equal(now().kept, 0)
  })

  it('goes back in smaller steps, once a minute, where flows never rest', async () => {
    const { giveBack, keep, move, now } = library(0)
    await giveBack.look()
    const looks = async (): Promise<number> => {
      keep(100 * MIB)
      for (let count = 1; ; count += 1) {
        move(5 * MIB)
        await giveBack.look()
        if (now().kept < 50 * MIB) return count
      }
    }
    assert.deepEqual([await looks(), await looks()], [12, 12])
    assert.equal(now().claimed, 0)
    assert.ok(now().mostAtOnce <= 3 * MIB, `${now().mostAtOnce} bytes at once`)
  })

  it('is given back by a real process', { skip: process.platform !== 'linux' }, async t => {
    const { stdout } = await promisify(execFile)(process.execPath, [
      '--expose-gc',
      '--input-type=module',
      '-e',
      PROGRAM
    ])
    const [full, kept, after] = stdout.trim().split(' ').map(Number)
    if (kept === undefined || after === undefined || full === undefined || kept < 100) {
      t.skip('this C library keeps nothing')
      return
    }
    assert.ok(after < kept / 2, `${full} MiB, ${kept} when freed, then ${after}`)
  })
})

const MODULES = new URL('../../src/', import.meta.url).href
const PROGRAM = `
const { systemAllocator } = await import('${MODULES}upkeep/memory/allocator.ts')
const { GiveBack } = await import('${MODULES}upkeep/memory/give-back.ts')
const { silentLogger, systemClock } = await import('${MODULES}core/index.ts')
const allocator = systemAllocator()
if (allocator === undefined) process.exit(0)
const resident = () => Math.round(process.memoryUsage.rss() / 1024 / 1024)
const keepAlive = setInterval(() => {}, 1_000)
const giveBack = new GiveBack({ allocator, movedBytes: () => 0, log: silentLogger, clock: systemClock, signal: new AbortController().signal })
await giveBack.look()
let large = []
const small = []
for (let index = 0; index < 4_000; index += 1) {
  large.push(Buffer.alloc(65_536 - (index % 7) * 1_000, 1))
  if (index % 8 === 0) small.push(Buffer.allocUnsafeSlow(300))
}
const full = resident()
large = []
// The memory of buffers is freed in the background.
for (let round = 0; round < 50 && process.memoryUsage().external > 50_000_000; round += 1) {
  gc()
  await new Promise(resolve => setTimeout(resolve, 50))
}
const kept = resident()
await giveBack.look()
console.log(full, kept, resident(), small.length)
clearInterval(keepAlive)
`
