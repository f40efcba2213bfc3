import type { RateLimitedLogOptions } from './rate-limited-log.ts'

/**
 * Limit for warnings about unauthenticated peers: a scanner, or a user who connects repeatedly, neither fills the log
 * nor hides the others.
 */
export const UNAUTHENTICATED_LINES: RateLimitedLogOptions = Object.freeze({
  perKey: { burst: 10, perSecond: 1 / 6, maxKeys: 256 },
  all: { burst: 30, perSecond: 1 / 2 }
})
