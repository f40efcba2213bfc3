import { commonVersion, FIRST_VERSION, formatVersions, PROTOCOLS, type WarrenError } from '../../core/index.ts'
import type { Candidate } from '../deps.ts'
import { NoCommonSession } from '../tls/index.ts'

/**
 * Returns the error of a session that was not opened. If no version is common, it names both as far as they are known, and
 * the host to upgrade; any other error is returned unchanged.
 */
export function namingVersions(cause: WarrenError, { machine, sessionVersions }: Candidate): WarrenError {
  if (!(cause instanceof NoCommonSession)) return cause
  const ours = PROTOCOLS.session
  const theirs = sessionVersions ?? FIRST_VERSION
  // Its program may have changed since it announced them.
  const isStale = commonVersion(theirs, ours) !== undefined
  const there = isStale ? 'other versions' : `version ${formatVersions(theirs)}`
  const older = isStale ? 'the older of the two' : theirs.max < ours.min ? machine : 'this host'
  const reason = `the agent of ${machine} speaks ${there} of the session protocol, this one speaks version ${formatVersions(ours)}`
  const hint = `Upgrade ${older}: docs/upgrade.md. \`warren members --versions\` shows the versions.`
  return new NoCommonSession(reason, { cause, hint })
}
