// Loaded before each file of tests (package.json). A test that times out leaves its sockets open, and a process with open
// sockets does not end by itself: the runner would wait for it for ever, and nothing after it be reported.
const DEADLINE_MS = 8 * 60_000

if (process.env['NODE_TEST_CONTEXT'] !== undefined) {
  setTimeout(() => {
    const open = process.getActiveResourcesInfo().join(', ')
    process.stderr.write(`${process.argv[1]} has not ended after ${DEADLINE_MS / 1_000} s; it has open: ${open}\n`)
    process.exit(1)
  }, DEADLINE_MS).unref()
}
