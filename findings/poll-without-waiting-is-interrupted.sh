#!/usr/bin/env bash
# Linux: poll(2) with a timeout of zero fails with EINTR.
#
# Expected: signal(7) says of calls that a handler may interrupt "while blocked". A poll with a timeout of zero never blocks: it
# looks, and returns 0 or the number of ready descriptors. Code that asks in this way whether a process has ended (by its
# pidfd), or whether a socket is readable, has no reason to expect EINTR, and takes -1 for a broken descriptor.
# Seen: where a signal is pending when the call looks and finds nothing ready, it fails with EINTR, although it would not have
# waited. A signal handler with SA_RESTART changes nothing: poll is never restarted. A program that profiles itself, whose
# signals come many times a millisecond, meets it a few hundred times in 200,000 calls. recv with MSG_DONTWAIT, in the same
# program under the same signals, always answers EAGAIN.
#
# Version: Linux 6.18 (fs/select.c has been so for long); koffi 3.3.4 and Node 26.10.0 make the calls. Needs npm and its
# registry. Fails if what is seen changes.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund node@26.10.0 koffi@3.3.4 >/dev/null
cat > try.mjs <<'JS'
import { constants } from 'node:os'
import koffi from 'koffi'

const CALLS = 200_000
const { EINTR, EAGAIN } = constants.errno
const [AF_UNIX, SOCK_STREAM, MSG_DONTWAIT, POLLIN] = [1, 1, 0x40, 1]
const SYS_PIDFD_OPEN = 434

const libc = koffi.load(null)
const poll = libc.func('int poll(_Inout_ uint8_t *fds, unsigned long count, int timeout)')
const recv = libc.func('long recv(int fd, _Out_ uint8_t *bytes, size_t size, int flags)')
const syscall = libc.func('long syscall(long number, long first, long second)')
const socketpair = libc.func('int socketpair(int family, int type, int protocol, _Out_ int *ends)')

const pidfd = syscall(SYS_PIDFD_OPEN, process.pid, 0)
const ends = [0, 0]
if (pidfd < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, ends) !== 0) throw new Error('cannot prepare')

// How often each errno was seen, by its number.
function count (call) {
  const seen = {}
  for (let index = 0; index < CALLS; index += 1) {
    const what = call() < 0 ? koffi.errno() : 'answered'
    seen[what] = (seen[what] ?? 0) + 1
  }
  return seen
}

const look = () => {
  const fds = Buffer.alloc(8)
  fds.writeInt32LE(pidfd, 0)
  fds.writeInt16LE(POLLIN, 4)
  return poll(fds, 1, 0)
}
// On a busy machine the profiler may not get to its signals for a while.
let polled = {}
for (let round = 0; round < 50 && polled[EINTR] === undefined; round += 1) polled = count(look)
const byte = Buffer.alloc(1)
const received = count(() => recv(ends[0], byte, 1, MSG_DONTWAIT))

console.log('poll, timeout 0:', polled, '; recv, MSG_DONTWAIT:', received)
if ((polled[EINTR] ?? 0) === 0) throw new Error('poll without waiting is no longer interrupted')
if (Object.keys(polled).some(what => what !== 'answered' && Number(what) !== EINTR)) throw new Error('another error of poll')
if (received[EAGAIN] !== CALLS) throw new Error('recv without waiting was interrupted')
JS
uname -r
# The profiler of V8 is an ordinary source of signals.
node_modules/.bin/node --cpu-prof --cpu-prof-interval=50 --cpu-prof-dir="$dir" try.mjs
