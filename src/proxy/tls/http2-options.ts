import type { ClientSessionOptions, ServerSessionOptions, Settings } from 'node:http2'
import { REMOTE_SETTINGS, versionSettings } from './versions.ts'

/**
 * Maximum that one flow may have in flight, and so the maximum that a stalled reader makes its agent hold.
 *
 * Measured with this repository's benchmark on loopback; see docs/decisions for the figures.
 */
export const STREAM_WINDOW_BYTES = 1024 * 1024
/**
 * What all flows of a session together may have in flight, and its window. Node extends the session's window as soon as
 * data arrives, read or not, so a stalled flow does not slow the others; the windows of the streams keep this bound.
 */
export const SESSION_WINDOW_BYTES = 32 * 1024 * 1024
/** Larger frames were slower. */
const MAX_FRAME_BYTES = 256 * 1024
const MAX_HEADER_BYTES = 8_192
/**
 * Streams of a session beyond those for flows, for requests about the session itself: proofs, fast-path connections, acknowledgements.
 * Without them a session that is full of flows could not be proved again, and Node would queue the request without a
 * notice.
 */
export const OWN_STREAMS = 4
/** Megabytes of queued output above which Node refuses new streams of the session. */
const MAX_SESSION_MEMORY = 512

function settings(maxStreams: number, resumes: boolean): Settings {
  return {
    enablePush: false,
    initialWindowSize: STREAM_WINDOW_BYTES,
    maxFrameSize: MAX_FRAME_BYTES,
    maxConcurrentStreams: maxStreams,
    maxHeaderListSize: MAX_HEADER_BYTES,
    customSettings: versionSettings(resumes)
  }
}

/** Settings of the side that opened the session; it accepts no streams. */
export function clientOptions(resumes = false): ClientSessionOptions {
  return {
    settings: settings(0, resumes),
    remoteCustomSettings: [...REMOTE_SETTINGS],
    maxSessionMemory: MAX_SESSION_MEMORY,
    maxReservedRemoteStreams: 0
  }
}

/** Settings of the side that serves the session, with at most `maxStreams` flows on it. */
export function serverOptions(maxStreams: number, resumes = false): ServerSessionOptions {
  return {
    // RFC 8441, for flows of datagrams.
    settings: { ...settings(maxStreams + OWN_STREAMS, resumes), enableConnectProtocol: true },
    remoteCustomSettings: [...REMOTE_SETTINGS],
    maxSessionMemory: MAX_SESSION_MEMORY,
    maxHeaderListPairs: 32,
    // When a policy changes, every flow of a session may be reset at once; that is not an attack.
    streamResetBurst: maxStreams,
    streamResetRate: 1_000
  }
}
