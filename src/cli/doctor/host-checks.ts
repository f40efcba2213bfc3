import { isLoopback, parseHostPort } from '../../core/index.ts'
import { isHidden } from '../output/hidden.ts'
import { formatBytes } from '../output/quantities.ts'
import { type DirectoryFacts, type Facts, isProblem } from './facts.ts'
import { type Finding, fail, ok, warn } from './finding.ts'

/** The state of an agent is some megabytes; its database is written again when it is compacted. */
const LEAST_DISK_BYTES = 32 * 1024 ** 2
const LITTLE_DISK_BYTES = 256 * 1024 ** 2
const FEW_FILES = 1_000
/** What docs/install.md recommends. */
const RECEIVE_BUFFER_BYTES = 4_194_304
/** pidfd_open: without it a process cannot be held by its identity. */
const LEAST_KERNEL = [5, 3] as const
/** RFC 1918, and RFC 6598 for carriers. */
const PRIVATE =
  /^(10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.|100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.|f[cd][0-9a-f]{2}:)/i

/** The machine that the agent runs on. */
export function hostChecks(facts: Facts): Finding[] {
  return [
    ...addressChecks(facts),
    ...portChecks(facts),
    ...nameChecks(facts),
    ...facts.directories.flatMap(directoryChecks),
    bufferCheck(facts),
    kernelCheck(facts)
  ]
}

function addressChecks({ status }: Facts): Finding[] {
  if (isProblem(status)) return []
  const { dataAddresses, leftOutCount, members } = status
  if (dataAddresses.length === 0 || isHidden(dataAddresses)) {
    const text = 'only loopback addresses are announced: no other host can connect'
    const cure = 'Give one that others reach: warren up --advertise HOST.'
    // Whoever tries it out on one machine needs no other.
    return [members > 1 ? fail('addresses', text, cure) : warn('addresses', text, cure)]
  }
  if (leftOutCount > 0) {
    const text = `${leftOutCount} addresses are not announced, since other hosts accept 16`
    return [warn('addresses', text, 'Choose those that others reach: up --advertise HOST.')]
  }
  const hosts = dataAddresses.map(address => parseHostPort(address).host).filter(host => !isLoopback(host))
  const isPrivate = hosts.every(host => PRIVATE.test(host))
  return [ok('addresses', isPrivate ? `private ones: hosts of other networks come through a relay` : hosts.join(' '))]
}

function portChecks({ dials }: Facts): Finding[] {
  if (dials.length === 0) return []
  const failed = dials.filter(({ problem }) => problem !== undefined)
  const [first] = failed
  if (first === undefined) return [ok('ports', `all ${dials.length} announced addresses answer this host`)]
  const text = `${first.address} does not answer this host itself: ${first.problem}`
  const cure =
    'If others cannot connect either, open the mesh and the data port in the firewall, or correct --advertise.'
  return [warn('ports', failed.length === 1 ? text : `${text}, as ${failed.length - 1} more`, cure)]
}

function nameChecks({ names }: Facts): Finding[] {
  if (names.length === 0) return []
  const broken = names.find(({ problem }) => problem !== undefined)
  if (broken === undefined) return [ok('names', `${names.map(({ name }) => name).join(', ')} can be resolved`)]
  const cure = 'Correct --advertise, or the name service: others resolve the name themselves.'
  return [fail('names', `${broken.name} is announced and has no address: ${broken.problem}`, cure)]
}

function directoryChecks({ what, path, found, problem }: DirectoryFacts): Finding[] {
  const check = `${what}-directory`
  if (found === undefined) {
    const cure = 'Run this as root or as the user of the agent; --state-dir or --runtime-dir names another directory.'
    return [{ check, verdict: 'unknown', text: `${path}: ${problem ?? 'not there'}`, cure }]
  }
  const open = found.mode & (what === 'state' ? 0o077 : 0o022)
  if (open !== 0) {
    const text = `${path} has mode ${(found.mode & 0o777).toString(8)}: others may ${what === 'state' ? 'enter it' : 'write to it'}`
    return [fail(check, text, `chmod ${what === 'state' ? '700' : '755'} ${path}`)]
  }
  if (what === 'runtime') return [ok(check, path)]
  const space = `${formatBytes(found.availableBytes)} are free in ${path}`
  const cure = 'Free some space: without it the agent cannot store a renewed certificate or a changed policy.'
  if (found.availableBytes < LEAST_DISK_BYTES) return [fail('disk', space, cure)]
  if (found.totalFiles > 0 && found.freeFiles < FEW_FILES) {
    return [fail('disk', `only ${found.freeFiles} more files fit into the file system of ${path}`, cure)]
  }
  return [found.availableBytes < LITTLE_DISK_BYTES ? warn('disk', space, cure) : ok('disk', space)]
}

function bufferCheck({ receiveBufferBytes, uid, directories }: Facts): Finding {
  if (receiveBufferBytes === undefined) return ok('udp-buffer', 'this system has no limit that can be read')
  const text = `net.core.rmem_max is ${formatBytes(receiveBufferBytes)}`
  if (receiveBufferBytes >= RECEIVE_BUFFER_BYTES) return ok('udp-buffer', text)
  // With CAP_NET_ADMIN the agent goes beyond it. Its user owns its state.
  const owner = directories.find(({ what }) => what === 'state')?.found?.uid ?? uid
  if (owner === 0) return ok('udp-buffer', `${text}, and an agent of root may use more`)
  return warn('udp-buffer', text, `Bursts of datagrams are lost: sysctl -w net.core.rmem_max=${RECEIVE_BUFFER_BYTES}`)
}

function kernelCheck({ kernel }: Facts): Finding {
  const [major = 0, minor = 0] = kernel.split(/[.-]/).map(Number)
  const isOld = major < LEAST_KERNEL[0] || (major === LEAST_KERNEL[0] && minor < LEAST_KERNEL[1])
  const cure = 'Local processes cannot be identified safely before Linux 5.3: upgrade the system.'
  return isOld ? fail('kernel', `Linux ${kernel}`, cure) : ok('kernel', kernel)
}
