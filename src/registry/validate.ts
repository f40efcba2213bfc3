import type { LimitName, WarrenError } from '../core/index.ts'
import type { Head } from './head.ts'
import type { Limits } from './limits.ts'
import { BUCKETS, type RecordSet } from './record-set.ts'

/** The result of comparing a set with the head that should commit to it. */
export type Fit =
  | { readonly is: 'fits' }
  /** The head does not commit to it. This proves nothing about the owner: the forwarding host may have changed the set. */
  | { readonly is: 'mismatch' }
  /** The head commits to it, and it breaks a rule or a limit: the owner signed that. */
  | { readonly is: 'invalid'; readonly reason: string; readonly limit: LimitName | undefined }

/** Compares a set with a head whose signature is valid; `fault` is the fault found in the records of the set, if any. */
export function validate(head: Head, set: RecordSet, fault: WarrenError | undefined, limits: Limits): Fit {
  if (set.root !== head.root) return { is: 'mismatch' }
  if (fault !== undefined) return { is: 'invalid', reason: fault.reason, limit: fault.limit }
  if (set.count !== head.count) {
    return { is: 'invalid', reason: `${set.count} records where the head states ${head.count}`, limit: undefined }
  }
  if (set.bytes > limits.maxSetBytes) {
    return { is: 'invalid', reason: `more than ${limits.maxSetBytes} bytes of records`, limit: 'registry_set_bytes' }
  }
  for (let number = 0; number < BUCKETS; number += 1) {
    if (set.bucket(number).bytes > limits.maxBucketBytes) {
      const reason = `more than ${limits.maxBucketBytes} bytes in one bucket`
      return { is: 'invalid', reason, limit: 'registry_bucket_bytes' }
    }
  }
  return { is: 'fits' }
}
