import type { Settings } from 'node:http2'
import { commonVersion, FIRST_VERSION, isVersionRange, PROTOCOLS, type VersionRange } from '../../core/index.ts'

// The version of a session is its ALPN; the versions of what may run beside it are settings of HTTP/2, which an agent
// that does not know them ignores (RFC 9113, 6.5.2). All of it is inside the TLS handshake or behind it, so nobody between
// the two agents can take a version away.

/** ALPN of each version of the session that this agent speaks, the best first. */
export const SESSION_ALPNS: readonly string[] = Object.freeze(
  versionsOf(PROTOCOLS.session).map(version => (version === 1 ? 'h2' : `warren-session/${version}`))
)

/** Whether this ALPN is that of a session. */
export function isSessionAlpn(alpn: unknown): boolean {
  return typeof alpn === 'string' && SESSION_ALPNS.includes(alpn)
}

/** Identifiers of settings, from the range for experiments (RFC 9113, 11.3). A value is the lowest version times 65,536, plus the highest. */
export const SETTING = Object.freeze({ fastPath: 0xf057, datagrams: 0xf058, resume: 0xf059 })
/** For both ends: Node passes on only these. */
export const REMOTE_SETTINGS: readonly number[] = Object.freeze(Object.values(SETTING))

/** The versions that two agents use beside their session; undefined: none is common, and it is not used. */
export interface SessionVersions {
  readonly fastPath: number | undefined
  readonly datagrams: number | undefined
  /** Undefined also if the other agent does not resume flows now. */
  readonly resume: number | undefined
}

/** The settings that show our versions. An agent that does not resume flows shows none for that. */
export function versionSettings(resumes: boolean): Record<number, number> {
  return {
    [SETTING.fastPath]: packed(PROTOCOLS['fast-path']),
    [SETTING.datagrams]: packed(PROTOCOLS.datagrams),
    ...(resumes ? { [SETTING.resume]: packed(PROTOCOLS.resume) } : {})
  }
}

/** The versions to use with the agent that sent these settings. One that sent none is of the first version. */
export function agreedVersions(settings: Settings): SessionVersions {
  const { customSettings: theirs = {} } = settings
  return {
    fastPath: agreed(PROTOCOLS['fast-path'], theirs[SETTING.fastPath]),
    datagrams: agreed(PROTOCOLS.datagrams, theirs[SETTING.datagrams]),
    // There was no first version before the setting.
    resume: theirs[SETTING.resume] === undefined ? undefined : agreed(PROTOCOLS.resume, theirs[SETTING.resume])
  }
}

function agreed(ours: VersionRange, setting: number | undefined): number | undefined {
  const theirs = setting === undefined ? FIRST_VERSION : { min: setting >>> 16, max: setting & 0xffff }
  return isVersionRange(theirs) ? commonVersion(ours, theirs) : undefined
}

function packed({ min, max }: VersionRange): number {
  return min * 0x1_0000 + max
}

function versionsOf({ min, max }: VersionRange): number[] {
  return Array.from({ length: max - min + 1 }, (_, at) => max - at)
}
