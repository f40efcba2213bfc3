import { fstatSync } from 'node:fs'
import type { Socket } from 'node:net'
import { descriptorOf, ErrorCode, type HostPort, WarrenError, withoutMapping } from '../core/index.ts'
import { peerUser } from './credentials.ts'
import { type AskPort, meaninglessUid, type PortHolder, portLookup } from './ports/index.ts'
import { platform, processReader } from './select.ts'
import { sameUser } from './view.ts'

/** The uid of the user at the other end of an accepted connection. Throws PERMISSION_DENIED if it is unknown. */
export type UidOfCaller = (socket: Socket) => number

/**
 * The user who connected to a unix socket. One of a container is nobody here, though the uid may be the same.
 *
 * Where this process is in a container itself, the uid alone decides: it cannot tell views apart.
 */
export function callerOfUnix(): UidOfCaller {
  const { isOfHost: canTell } = processReader().viewOf(process.pid)
  return socket => {
    if (!canTell) return platform().credentialsOf(descriptorOf(socket)).uid
    const { uid, view } = peerUser(socket)
    // The root directory of another user's process may be unreadable; its pids are known to everybody.
    if (uid === process.getuid?.() ? view.isOfHost : view.sharesPids) return uid
    throw denied(`the caller ${view.whyNot}`)
  }
}

/** Whether who connected to a unix socket is a process of this user that sees the host as process `pid` does, which must be alive. */
export type IsBeside = (socket: Socket, pid: number) => boolean

/**
 * How the processes beside one are told from others. The function throws PERMISSION_DENIED if the kernel does not say who connected.
 *
 * Where this process is in a container itself, the uid alone decides: it cannot tell views apart.
 */
export function callersBeside(): IsBeside {
  const reader = processReader()
  const { key } = reader.viewOf(process.pid)
  const uid = process.getuid?.() ?? 0
  return (socket, pid) => {
    if (key === undefined) return platform().credentialsOf(descriptorOf(socket)).uid === uid
    return sameUser(peerUser(socket), { uid, view: reader.viewOf(pid) })
  }
}

/**
 * The user who made the client's end of a loopback connection. The kernel names no process, so nothing that depends on the
 * program can be decided by it.
 *
 * Throws UNSUPPORTED on a system whose kernel is not asked.
 */
export function callerOfLoopback(ask: AskPort | undefined = portLookup()): UidOfCaller {
  if (ask === undefined) throw unsupported()
  const unknownUid = meaninglessUid()
  return socket => {
    const { remoteAddress, remotePort, localAddress, localPort } = socket
    if (
      remoteAddress === undefined ||
      remotePort === undefined ||
      localAddress === undefined ||
      localPort === undefined
    )
      throw denied('the caller has gone')
    const client = { host: withoutMapping(remoteAddress), port: remotePort }
    const server = { host: withoutMapping(localAddress), port: localPort }
    let [theirs, ours]: [PortHolder | undefined, PortHolder | undefined] = [undefined, undefined]
    let inode: number
    try {
      theirs = ask({ protocol: 'tcp', ...client, from: server })
      // Asked second: while this end lives, nobody else can have that port at the other end.
      ours = ask({ protocol: 'tcp', ...server, from: client })
      inode = fstatSync(descriptorOf(socket)).ino
    } catch (cause) {
      throw denied('the kernel does not say who the caller is', cause)
    }
    // Without an inode it was closed, and the kernel says uid 0 for whomever.
    if (theirs === undefined || theirs.inode === 0) throw denied('the caller has gone')
    if (ours?.inode !== inode) throw denied('the connection was reset')
    if (theirs.uid === unknownUid) throw denied(`uid ${theirs.uid} stands for every user without a meaning here`)
    return theirs.uid
  }
}

/**
 * The user whose socket gets a datagram from `server` to `client`, literal addresses of this host; undefined if nobody has that
 * port. Throws if the kernel does not say.
 */
export type UidOfSender = (client: HostPort, server: HostPort) => number | undefined

/** Throws UNSUPPORTED on a system whose kernel is not asked. */
export function senderOfLoopback(ask: AskPort | undefined = portLookup()): UidOfSender {
  if (ask === undefined) throw unsupported()
  return (client, server) => ask({ protocol: 'udp', ...client, from: server })?.uid
}

function unsupported(): WarrenError {
  return new WarrenError(ErrorCode.Unsupported, `callers at a port cannot be identified on ${process.platform}`, {
    hint: 'Use a unix socket: --listen unix:PATH.'
  })
}

function denied(why: string, cause?: unknown): WarrenError {
  return new WarrenError(ErrorCode.PermissionDenied, why, { cause })
}
