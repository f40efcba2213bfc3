import { closeSync } from 'node:fs'
import koffi from 'koffi'
import { readable } from '../poll.ts'
import type { BsdCalls } from './system.ts'

/** The C library of a BSD. Throws where it lacks one of these. */
export function bsdCalls(): BsdCalls {
  const libc = koffi.load(null)
  const getsockopt = libc.func(
    'int getsockopt(int fd, int level, int name, _Out_ uint8_t *value, _Inout_ uint32_t *size)'
  )
  const sysctl = libc.func(
    'int sysctl(const int *name, uint32_t parts, _Out_ uint8_t *old, _Inout_ size_t *size, void *value, size_t length)'
  )
  const kqueue = libc.func('int kqueue()')
  const kevent = libc.func(
    'int kevent(int queue, const uint8_t *changes, int count, void *events, int room, void *timeout)'
  )
  const poll = libc.func('int poll(_Inout_ uint8_t *fds, uint32_t count, int timeout)')

  return {
    option(fd, level, name, bytes) {
      const value = Buffer.alloc(bytes)
      const size = [bytes]
      if (getsockopt(fd, level, name, value, size) !== 0) throw failed('getsockopt')
      if (Number(size[0]) !== bytes) throw new Error(`getsockopt gave ${size[0]} bytes, not ${bytes}`)
      return value
    },
    sysctl(name, bytes) {
      const value = Buffer.alloc(bytes)
      const size = [bytes]
      if (sysctl([...name], name.length, value, size, null, 0) !== 0) throw failed('sysctl')
      return value.subarray(0, Number(size[0]))
    },
    kqueueWith(change) {
      const queue: number = kqueue()
      if (queue < 0) throw failed('kqueue')
      if (kevent(queue, change, 1, null, 0, null) >= 0) return queue
      const failure = failed('kevent')
      closeSync(queue)
      throw failure
    },
    readable: fds => readable(fds, { call: (pollfds, count) => poll(pollfds, count, 0), errno: () => koffi.errno() }),
    close: closeSync
  }
}

function failed(call: string): Error {
  return new Error(`${call} failed with errno ${koffi.errno()}`)
}
