import { ErrorCode, formatVersions, PROTOCOLS, packageVersion, softwareVersion, WarrenError } from '../core/index.ts'

/** Header of each answer with the version of the agent, and of each call of the library with that of the caller's program. */
export const VERSION_HEADER = 'warren-version'

const CALL = /^\/(warren\.api\.v\d{1,5}\.[A-Za-z]{1,40}\/[A-Za-z]{1,40})$/

/**
 * The error for a call that this agent does not have: it names both versions, as far as they are known. The version of the
 * API is in the path of a call (`warren.api.v1`), so an agent never carries out a call of a version that it does not speak.
 */
export function unknownCall(path: string, callerVersion: unknown): WarrenError {
  const name = CALL.exec(path)?.[1]
  const caller = typeof callerVersion === 'string' ? softwareVersion(callerVersion) : ''
  const asked = name === undefined ? 'no such call' : `no call ${name}`
  const by = caller === '' ? '' : `; the program that asks is warren ${caller}`
  const ours = `this agent is warren ${packageVersion()}, with version ${formatVersions(PROTOCOLS['local-api'])} of the local API`
  return new WarrenError(ErrorCode.Unsupported, `${ours}, and has ${asked}${by}`, {
    hint: 'After an upgrade restart the agent: `systemctl restart warren`. Before, use the program of its version.'
  })
}
