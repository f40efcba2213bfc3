import { descriptorSender, type SendDescriptor } from './systemd-store.ts'

const AF_UNIX = 1
// bits/socket_type.h: SOCK_DGRAM | SOCK_CLOEXEC. The same on x86 and ARM.
const DATAGRAM_CLOEXEC = 2 | 0o2000000
// MSG_DONTWAIT | MSG_NOSIGNAL: a manager that reads nothing holds no agent.
const SEND_FLAGS = 0x40 | 0x4000
/** MSG_NOSIGNAL: where a notification that is lost would do harm. */
const WAITING = 0x4000
/** sun_path of struct sockaddr_un, whose last byte is a zero. */
const MAX_PATH_BYTES = 107
/** systemd ignores a datagram of more than 4,096 bytes, and with it that this process is ready. */
const MAX_STATUS_BYTES = 1_024
const MICROSECONDS_PER_MS = 1_000
const NANOSECONDS_PER_MICROSECOND = 1_000n

/** The program that started this process and waits to be notified: systemd, with `Type=notify`. */
export interface ServiceManager {
  /** Everything is served from now on. `status` is what `systemctl status` shows. Begins the signs of life. */
  ready(status: string): void
  /** The files of the configuration are read anew. `reloaded` must follow. Before `ready`, neither has an effect. */
  reloading(): void
  /** That has ended. `problem` is why it was not applied; empty if it was. `systemctl status` shows it until the next one. */
  reloaded(problem: string): void
  /** This process was asked to end, and ends in order. */
  stopping(): void
  /** Another program takes its place, under the same process id. */
  replacing(): void
  /** Keeps descriptors, by name, for the next process of this service. Throws if it cannot. */
  keep(descriptors: ReadonlyMap<string, number>): void
  /** Keeps those of these names no longer. */
  forget(names: Iterable<string>): void
}

const NOBODY: ServiceManager = {
  ready: () => {},
  reloading: () => {},
  reloaded: () => {},
  stopping: () => {},
  replacing: () => {},
  keep: () => {},
  forget: () => {}
}

/**
 * Returns whoever is named in `env` (sd_notify(3)), and removes that from it: what this process starts must not speak for it.
 *
 * Where WATCHDOG_USEC asks for signs of life, one is sent in each half of that time, from the event loop: an agent whose loop
 * stands still gives none, and is started again. Without NOTIFY_SOCKET both calls have no effect.
 */
export async function serviceManager(env: NodeJS.ProcessEnv): Promise<ServiceManager> {
  const { NOTIFY_SOCKET: socket, WATCHDOG_USEC: watchdog, WATCHDOG_PID: watched } = env
  for (const name of ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID']) delete env[name]
  if (socket === undefined || process.platform !== 'linux') return NOBODY
  const sending = await sender(socket)
  if (sending === undefined) return NOBODY
  const { send, sendDescriptor } = sending
  const isForUs = watched === undefined || Number(watched) === process.pid
  const lifeSignMs = isForUs ? Number(watchdog ?? 0) / MICROSECONDS_PER_MS / 2 : 0
  let served: string | undefined
  const ready = (status: string): void => send(`READY=1\nSTATUS=${clipped(status.replaceAll('\n', ' '))}`)
  return {
    ready: status => {
      served = status
      ready(status)
      if (lifeSignMs >= 1) setInterval(() => send('WATCHDOG=1'), lifeSignMs).unref()
    },
    // With Type=notify-reload it waits for both, and takes none that was sent before its signal: hence the time.
    reloading: () => {
      if (served === undefined) return
      send(`RELOADING=1\nMONOTONIC_USEC=${process.hrtime.bigint() / NANOSECONDS_PER_MICROSECOND}`)
    },
    reloaded: problem => {
      // It would say that everything is served.
      if (served !== undefined) ready(problem === '' ? served : `${served}; not reloaded: ${problem}`)
    },
    stopping: () => send('STOPPING=1\nSTATUS=draining'),
    // The next program has a whole period for its first sign of life.
    replacing: () => send('WATCHDOG=1\nSTATUS=upgrading'),
    keep: descriptors => {
      // Without FDPOLL=0 it drops a connection that the other end has ended.
      for (const [name, fd] of descriptors) sendDescriptor(`FDSTORE=1\nFDNAME=${name}\nFDPOLL=0`, fd)
    },
    forget: names => {
      for (const name of names) send(`FDSTOREREMOVE=1\nFDNAME=${name}`, WAITING)
    }
  }
}

/** The beginning of a text: whole characters, in at most as many bytes as a status may have. */
function clipped(text: string): string {
  const room = new Uint8Array(MAX_STATUS_BYTES)
  return text.slice(0, new TextEncoder().encodeInto(text, room).read)
}

/** Node has no datagrams on unix sockets. Undefined for an address that is none, or of another kind (vsock). */
async function sender(
  socket: string
): Promise<
  { readonly send: (text: string, flags?: number) => void; readonly sendDescriptor: SendDescriptor } | undefined
> {
  const path = Buffer.from(socket)
  if (!/^[/@]/.test(socket) || path.length > MAX_PATH_BYTES) return undefined
  const { default: koffi } = await import('koffi')
  const libc = koffi.load(null)
  const open = libc.func('int socket(int domain, int type, int protocol)')
  const sendTo = libc.func(
    'int64_t sendto(int fd, const uint8_t *bytes, size_t size, int flags, const uint8_t *address, uint32_t length)'
  )
  const fd = open(AF_UNIX, DATAGRAM_CLOEXEC, 0) as number
  if (fd < 0) return undefined
  const family = Buffer.from(Uint16Array.of(AF_UNIX).buffer)
  // An abstract name begins with a zero, and ends with its length; a path ends with a zero.
  const isAbstract = socket.startsWith('@')
  const address = Buffer.concat([family, path, ...(isAbstract ? [] : [Buffer.alloc(1)])])
  if (isAbstract) address[family.length] = 0
  return {
    send: (text, flags = SEND_FLAGS) => {
      const bytes = Buffer.from(text)
      sendTo(fd, bytes, bytes.length, flags, address, address.length)
    },
    sendDescriptor: descriptorSender(koffi, libc, fd, address)
  }
}
