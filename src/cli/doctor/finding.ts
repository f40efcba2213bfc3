/** `fail`: something does not work, or soon will not. `warn`: it works, with a risk. `unknown`: it could not be examined. */
export type Verdict = 'ok' | 'warn' | 'fail' | 'unknown'

/** What the doctor says about one subject. */
export interface Finding {
  /** Stable name of the subject, one word or two joined by a hyphen. */
  readonly check: string
  readonly verdict: Verdict
  /** What was found, as one clause. */
  readonly text: string
  /** What to do about it; empty if there is nothing to do. */
  readonly cure: string
}

export function ok(check: string, text: string): Finding {
  return { check, verdict: 'ok', text, cure: '' }
}

export function warn(check: string, text: string, cure: string): Finding {
  return { check, verdict: 'warn', text, cure }
}

export function fail(check: string, text: string, cure: string): Finding {
  return { check, verdict: 'fail', text, cure }
}

export function unknown(check: string, text: string, cure: string): Finding {
  return { check, verdict: 'unknown', text, cure }
}
