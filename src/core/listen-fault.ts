import { formatHostPort, type HostPort } from './net.ts'

/** Why a program cannot listen at an address, for people. */
export interface ListenFault {
  /** One clause, with the system's name of the failure. */
  readonly why: string
  /** One sentence: what to do about it; to be continued by the option that chooses another address. */
  readonly hint: string
}

const FIRST_OPEN_PORT = 1_024

/** Says in words why `at` cannot be listened on; `code` is the system's name of the failure. */
export function listenFault(at: HostPort, code: string): ListenFault {
  const { why, hint } = words(at, code)
  return { why: `${why} (${code})`, hint }
}

function words(at: HostPort, code: string): ListenFault {
  switch (code) {
    case 'EADDRINUSE':
      return { why: 'another program listens there', hint: 'Choose another port, or 0 for a free one.' }
    case 'EADDRNOTAVAIL':
      return { why: `this host has no address ${at.host}`, hint: 'Choose one of those that `ip address` shows.' }
    case 'EACCES':
    case 'EPERM':
      return at.port > 0 && at.port < FIRST_OPEN_PORT
        ? { why: 'this user may not', hint: 'Ports below 1024 need root or CAP_NET_BIND_SERVICE.' }
        : { why: 'this user may not', hint: 'A firewall or a security module of this host forbids it.' }
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
    case 'EAI_NONAME':
      return { why: `the name ${at.host} has no address`, hint: 'Choose an address of this host.' }
    case 'EAFNOSUPPORT':
      return { why: 'this system does not have this kind of addresses', hint: 'Choose an IPv4 address.' }
    case 'EMFILE':
      return {
        why: 'this process has no file descriptors left',
        hint: 'Allow it more: ulimit -n, or LimitNOFILE= of the systemd unit.'
      }
    default:
      return { why: `the system refuses ${formatHostPort(at)}`, hint: 'Choose another address.' }
  }
}
