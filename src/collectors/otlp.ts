/** An attribute of OTLP in JSON. */
export interface OtlpAttribute {
  readonly key: string
  readonly value:
    | { readonly stringValue: string }
    | { readonly boolValue: boolean }
    | { readonly intValue: string }
    | { readonly doubleValue: number }
}

/** Who sends. */
export interface OtlpHost {
  readonly machine: string
  readonly trustDomain: string
  readonly peer: string
  /** Version of this program. */
  readonly version: string
}

/** The attributes of the resource of all that a host sends. */
export function hostAttributes({ machine, trustDomain, peer, version }: OtlpHost): Readonly<Record<string, string>> {
  return {
    'service.name': 'warren',
    'service.version': version,
    'host.name': machine,
    'warren.trust_domain': trustDomain,
    'warren.peer': peer
  }
}

/** The resource of all that a host sends. */
export function otlpResource(host: OtlpHost): { readonly attributes: OtlpAttribute[] } {
  return { attributes: otlpAttributes(hostAttributes(host)) }
}

/** What is neither a text, a number nor a truth value is there as JSON; what is undefined is left out. */
export function otlpAttributes(values: Readonly<Record<string, unknown>>): OtlpAttribute[] {
  return Object.entries(values).flatMap(([key, value]): OtlpAttribute[] => {
    if (value === undefined || value === null) return []
    if (typeof value === 'boolean') return [{ key, value: { boolValue: value } }]
    if (Number.isSafeInteger(value)) return [{ key, value: { intValue: String(value) } }]
    if (typeof value === 'number') return [{ key, value: { doubleValue: value } }]
    return [{ key, value: { stringValue: typeof value === 'string' ? value : JSON.stringify(value) } }]
  })
}

/** A time in nanoseconds, which are beyond what a number holds. */
export function otlpTime(ms: number): string {
  return Number.isFinite(ms) ? `${Math.max(0, Math.round(ms * 1_000))}000` : '0'
}
