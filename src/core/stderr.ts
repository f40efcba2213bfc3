import { constants, fstatSync, openSync, readFileSync, writeSync } from 'node:fs'
import { isatty } from 'node:tty'
import { LineSink } from './line-sink.ts'

const STDERR = 2
const OPEN = constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY

let sink: LineSink | undefined

/**
 * Standard error of this process, for lines. A reader that stands still never holds the process, neither while it runs nor
 * at its end.
 *
 * Not a thread that writes: a process cannot end before its threads, and one in write(2) to a full pipe has no end.
 */
export function stderrLines(): LineSink {
  sink ??= open()
  return sink
}

function open(): LineSink {
  const fd = openNonblocking()
  let triesAtExit = false
  const lines = new LineSink(bytes => {
    try {
      return writeSync(fd, bytes)
    } catch (err) {
      // A library user or a second Ctrl-C may end the process without waiting. Only now: a program that starts an agent keeps its
      // own listeners.
      if (!triesAtExit) process.once('exit', () => lines.tryAgain())
      triesAtExit = true
      throw err
    }
  })
  return lines
}

/** A descriptor of what standard error is, in which write(2) fails with EAGAIN where it would wait. */
function openNonblocking(): number {
  const kind = fstatSync(STDERR)
  // O_NONBLOCK has no effect in a file, and an open file of its own would have its own position, at the beginning.
  if (kind.isFile()) return STDERR
  // What is opened has an O_NONBLOCK of its own, not shared with the other processes that have the same standard error.
  const paths = process.platform === 'linux' && !kind.isSocket() ? [`/proc/self/fd/${STDERR}`] : []
  if (isOwnTerminal(kind.rdev)) paths.push('/dev/tty')
  for (const path of paths) {
    try {
      return openSync(path, OPEN)
    } catch {
      // Of another user (docker, su), or /proc is not mounted.
    }
  }
  // Node sets O_NONBLOCK in a pipe and a socket when it makes this stream, and resets it when the process ends.
  void process.stderr
  return STDERR
}

/** Whether this device is the terminal that `/dev/tty` stands for. */
function isOwnTerminal(device: number): boolean {
  if (!isatty(STDERR)) return false
  try {
    // proc_pid_stat(5): the name in parentheses may contain anything; tty_nr is the fifth field after it.
    const stat = readFileSync('/proc/self/stat', 'utf8')
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[4]) === device
  } catch {
    return false
  }
}
