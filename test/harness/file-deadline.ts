import { enableCompileCache } from 'node:module'
import { join } from 'node:path'

// Loaded before each file of tests (package.json). A test that times out leaves its sockets open, and a process with open
// sockets does not end by itself: the runner would wait for it for ever, and nothing after it be reported.
const DEADLINE_MS = 8 * 60_000

// Each file is a process that compiles the same sources: 1.4 s of processor time for one of test/api without a cache, and
// 0.9 with it. Nobody else may write there: what is in it is executed.
enableCompileCache(join(import.meta.dirname, '..', '..', 'node_modules', '.cache', 'warren-tests'))

if (process.env['NODE_TEST_CONTEXT'] !== undefined) {
  setTimeout(() => {
    const open = process.getActiveResourcesInfo().join(', ')
    process.stderr.write(`${process.argv[1]} has not ended after ${DEADLINE_MS / 1_000} s; it has open: ${open}\n`)
    process.exit(1)
  }, DEADLINE_MS).unref()
}
