import { createHash } from 'node:crypto'
import type { apiPb } from '../../wire/index.ts'
import { fields } from './views.ts'

export interface InspectionView {
  readonly registrationId: string
  readonly address: string
  readonly document: Omit<apiPb.IdentityDocument, '$typeName' | '$unknown' | 'registeredAtMs'> & {
    readonly registeredAtMs: number
  }
  /** The text whose SHA-256 is the registration id. */
  readonly canonical: string
  /** Whether it is: computed here, and not taken from the agent. */
  readonly hashMatches: boolean
  /** What holds for it now; zero: no limit. */
  readonly maxConnects: number
  readonly maxRate: number
}

/** A registration as `warren inspect` shows it. */
export function inspectionView(inspection: apiPb.Inspection): InspectionView | undefined {
  const { registrationId, address, document, maxConnects, maxRate } = inspection
  if (document === undefined) return undefined
  const shown = { ...fields(document), registeredAtMs: Number(document.registeredAtMs) }
  const canonical = canonicalText(shown)
  const hash = createHash('sha256').update(canonical).digest('hex')
  return {
    registrationId,
    address,
    document: shown,
    canonical,
    hashMatches: hash === registrationId,
    maxConnects,
    maxRate
  }
}

/** The one form of a document that is hashed: see docs/protocol/identity.md. */
export function canonicalText(document: InspectionView['document']): string {
  const { spiffeId, application, scope, pid, uid, registeredAtMs, machine, whitelist } = document
  return JSON.stringify([spiffeId, application, scope, pid, uid, registeredAtMs, machine, whitelist])
}
