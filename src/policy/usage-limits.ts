/** How much a registration or a rule may be used at one agent. */
export interface UsageLimits {
  /** Connections that may be opened in a second, and at once. Undefined: as many as the agent allows. */
  readonly maxConnects?: number | undefined
  /** Bytes that may be carried in a second, both directions together. Undefined: no limit. */
  readonly maxRateBytes?: number | undefined
}

/** The limits as messages carry them: zero is no limit. */
export interface LimitFields {
  readonly maxConnects: number
  readonly maxRate: number
}

/** The largest number that a message carries. */
export const MAX_LIMIT_FIELD = 2 ** 32 - 1

export function limitsOf({ maxConnects, maxRate }: LimitFields): UsageLimits {
  return {
    ...(maxConnects === 0 ? {} : { maxConnects }),
    ...(maxRate === 0 ? {} : { maxRateBytes: maxRate })
  }
}

export function limitFields({ maxConnects = 0, maxRateBytes = 0 }: UsageLimits): LimitFields {
  return { maxConnects, maxRate: maxRateBytes }
}

export function isLimited({ maxConnects, maxRateBytes }: UsageLimits): boolean {
  return maxConnects !== undefined || maxRateBytes !== undefined
}

/** The limits that hold where all of these do. */
export function tightest(all: readonly UsageLimits[]): UsageLimits {
  const least = (numbers: ReadonlyArray<number | undefined>): number | undefined =>
    numbers.reduce((a, b) => (a === undefined || b === undefined ? (a ?? b) : Math.min(a, b)), undefined)
  return {
    maxConnects: least(all.map(({ maxConnects }) => maxConnects)),
    maxRateBytes: least(all.map(({ maxRateBytes }) => maxRateBytes))
  }
}
