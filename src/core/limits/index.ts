export { LruMap } from './lru-map.ts'
export { Quota } from './quota.ts'
export { RateLimitedLog, type RateLimitedLogOptions } from './rate-limited-log.ts'
export { type KeyedRate, type Rate, TokenBucket, TokenBuckets } from './token-bucket.ts'
