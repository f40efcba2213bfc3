import type { LimitName, WarrenError } from '../core/index.ts'
import type { Head } from './head.ts'
import type { Limits } from './limits.ts'
import { BUCKETS, type RecordSet } from './record-set.ts'

/** Whether a set is the one that a head commits to. */
export type Fit =
  | { readonly is: 'fits' }
  /** It is not: nothing follows about the owner, since whoever handed it on may have changed it. */
  | { readonly is: 'mismatch' }
  /** It is, and it breaks a rule or a limit: the owner signed that. */
  | { readonly is: 'invalid'; readonly reason: string; readonly limit: LimitName | undefined }

/** Compares a set with a head whose signature holds; `fault` is what was wrong with the records of the set, if anything. */
export function validate(head: Head, set: RecordSet, fault: WarrenError | undefined, limits: Limits): Fit {
  if (set.root !== head.root) return { is: 'mismatch' }
  if (fault !== undefined) return { is: 'invalid', reason: fault.reason, limit: fault.limit }
  if (set.count !== head.count) {
    return { is: 'invalid', reason: `${set.count} records where it counts ${head.count}`, limit: undefined }
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
